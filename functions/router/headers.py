"""The headers that the router forwards: not those of one connection, nor those that steer the platform behind it."""

from __future__ import annotations

from collections.abc import Iterable

from common.http_client import end_to_end

RawHeaders = list[tuple[bytes, bytes]]

# Written for each message, or by the router only: the mark of a copy for a shadow.
_OWN = frozenset({b"host", b"content-length", b"tidegate-shadow"})
# Headers by which a caller could pretend to be another, or reach another place than the checked path and host. Of the
# headers of proxies, `x-forwarded-for` and `x-forwarded-proto` remain: they name the caller in logs, and the ingress
# adds to them.
_STEERING = frozenset(
    b"forwarded x-forwarded-host x-forwarded-port x-forwarded-prefix x-forwarded-path x-forwarded-uri x-forwarded-server x-forwarded-method"
    b" x-original-url x-original-uri x-original-host x-rewrite-url x-host"
    b" x-http-method x-http-method-override x-method-override".split()
)
# Headers between the components of Knative and Envoy: forwarded, they would make a revision's autoscaler miscount, or
# choose another revision.
_PLATFORM = (b"k-proxy-", b"k-network-", b"k-passthrough-", b"knative-", b"x-envoy-")
_ENCODINGS = (b"accept-encoding", b"content-encoding")


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers of a message that go to the other side, names in lower case."""
    lower = ((name.lower(), value) for name, value in end_to_end(headers))
    return [(name, value) for name, value in lower if name not in _OWN and name not in _STEERING and not name.startswith(_PLATFORM)]


def without_encodings(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The forwarded headers of a request that the router rewrites.

    Request and reply are uncompressed, since the router writes the one and reads the other.
    """
    return [(name, value) for name, value in forwarded(headers) if name not in _ENCODINGS]
