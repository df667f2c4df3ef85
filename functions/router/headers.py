"""The headers that the router passes on: what belongs to one connection, and what steers the platform behind it, stays
behind."""

from __future__ import annotations

from collections.abc import Iterable

from common.http_client import end_to_end

RawHeaders = list[tuple[bytes, bytes]]

# Written again for each message.
_OWN = frozenset({b"host", b"content-length"})
# What a caller could send to seem another, or to be led elsewhere than by the path and the host that the router has
# looked at. Of what proxies say, `x-forwarded-for` and `x-forwarded-proto` remain: they name the caller in logs, and
# the ingress adds to them.
_STEERING = frozenset(
    b"forwarded x-forwarded-host x-forwarded-port x-forwarded-prefix x-forwarded-path x-forwarded-uri x-forwarded-server x-forwarded-method"
    b" x-original-url x-original-uri x-original-host x-rewrite-url x-host"
    b" x-http-method x-http-method-override x-method-override".split()
)
# Of Knative's parts and of Envoy, to each other: passed on, they would make a revision's autoscaler miscount, or choose
# another revision.
_PLATFORM = (b"k-proxy-", b"k-network-", b"k-passthrough-", b"knative-", b"x-envoy-")


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers of a message that go to the other side, names in lower case."""
    lower = ((name.lower(), value) for name, value in end_to_end(headers))
    return [(name, value) for name, value in lower if name not in _OWN and name not in _STEERING and not name.startswith(_PLATFORM)]
