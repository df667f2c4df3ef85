"""URLs of a cluster as those of the gateway: in the variables of a container, and where events are posted.

The names of a cluster's Services do not resolve on this machine, so that a manifest that has one would need a change.
"""

from __future__ import annotations

import re

from tidegate.local.eventing.addressing import INGRESSES

_URL = re.compile(
    r"http://(?P<host>(?P<name>[a-z0-9-]+)\.[a-z0-9-]+(?P<inside>\.svc(?:\.cluster\.local)?)?)(?::80)?(?P<rest>[/?#].*)?", re.DOTALL
)
_HOSTS = {inside: hosts[0] for hosts in INGRESSES.values() for inside in hosts[1:]}


def at_gateway(value: str, port: int) -> str:
    """Return the gateway's URL of a value that is the URL of a Service in a cluster; any other value as it is.

    A Service that is not here has a URL too: the gateway answers with the names of those that are.
    """
    found = _URL.fullmatch(value)
    if found is None:
        return value
    host = _HOSTS.get(found["host"]) or (f"{found['name']}.localhost" if found["inside"] else None)
    return value if host is None else f"http://{host}:{port}{found['rest'] or ''}"
