"""Addresses of a cluster in the variables of a container, as those of the gateway.

The names of a cluster's Services do not resolve on this machine, so that a manifest that has one would need a change.
"""

from __future__ import annotations

import re

from tidegate.local.eventing.addressing import INGRESSES

_URL = re.compile(r"http://(?P<host>(?P<name>[a-z0-9-]+)\.[a-z0-9-]+\.svc(?:\.cluster\.local)?)(?::80)?(?P<rest>[/?#].*)?", re.DOTALL)
_SUFFIX = ".cluster.local"
_HOSTS = {inside.removesuffix(_SUFFIX): hosts[0] for hosts in INGRESSES.values() for inside in hosts[1:]}


def at_gateway(value: str, port: int) -> str:
    """Return the gateway's URL of a value that is the URL of a Service in a cluster; any other value as it is."""
    found = _URL.fullmatch(value)
    if found is None:
        return value
    host = _HOSTS.get(found["host"].removesuffix(_SUFFIX), f"{found['name']}.localhost")
    return f"http://{host}:{port}{found['rest'] or ''}"
