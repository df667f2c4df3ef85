"""The headers that the router forwards: not those of one connection, nor those that steer the platform behind it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from common.http_headers import HOP_BY_HOP, options_of
from functions.runtime.http.deadline import TIMEOUT

RawHeaders = list[tuple[bytes, bytes]]

# The mark of a copy for a shadow.
SHADOW = b"tidegate-shadow"
# Written for each message, or by the router only. The time that is left is another one for each attempt.
_OWN = frozenset({b"host", b"content-length", TIMEOUT, SHADOW})
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
_CONNECTION = b"connection"
_SHORT = 64


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers of a message that go to the other side, names in lower case."""
    found: RawHeaders = []
    options: list[str] | None = None
    for name, value in headers:
        known = _known(name) if len(name) <= _SHORT else _passed(name)
        if known:
            found.append((known, value))
        elif len(name) == len(_CONNECTION) and name.lower() == _CONNECTION:
            options = [*(options or ()), value.decode("latin-1").lower()]
    if options:
        dropped = {option.encode("latin-1") for option in options_of(options)}
        return [(name, value) for name, value in found if name not in dropped]
    return found


def _passed(name: bytes) -> bytes:
    """The name in lower case if headers of it are forwarded, otherwise nothing."""
    name = name.lower()
    is_dropped = name in _OWN or name in _STEERING or name.startswith(_PLATFORM) or name.decode("latin-1") in HOP_BY_HOP
    return b"" if is_dropped else name


# Names repeat. Long ones are not kept, so that callers who invent names take no memory.
_known = lru_cache(1024)(_passed)


def without_encodings(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The forwarded headers of a request that the router rewrites.

    Request and reply are uncompressed, since the router writes the one and reads the other.
    """
    return [(name, value) for name, value in forwarded(headers) if name not in _ENCODINGS]


def value_of(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """The value of a header as it was received; `wanted` is in lower case."""
    return next((value for name, value in headers if name.lower() == wanted), None)
