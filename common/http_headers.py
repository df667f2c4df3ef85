"""The headers that a proxy forwards, and the mark of the ingress. It imports no HTTP client: a router starts with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import AnyStr

# Headers of one connection (RFC 9110, section 7.6.1), those of older proxies, and `expect`, which a proxy answers
# itself.
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)

# End-to-end headers that `Connection` must not name (RFC 9110, section 7.6.1) and that are forwarded even if it does.
# Otherwise a caller could make a proxy drop a header that frames the body, authenticates the caller, routes the request
# or carries an event.
_END_TO_END = frozenset(
    {
        *("host", "authorization", "cookie", "set-cookie", "date", "location", "retry-after", "vary", "via", "etag", "cache-control"),
        *(
            "traceparent",
            "tracestate",
            "baggage",
            "user-agent",
            "origin",
            "forwarded",
            "www-authenticate",
            "inference-header-content-length",
        ),
    }
)
_END_TO_END_PREFIXES = ("accept", "content-", "ce-", "access-control-", "tidegate-", "x-forwarded-", "x-real-", "x-request-", "x-api-")

# Marks a 404 of the ingress, as opposed to one of a service behind it: the host is unknown, perhaps not yet known.
NO_HOST = "tidegate-no-host"


def end_to_end(headers: Iterable[tuple[AnyStr, AnyStr]]) -> list[tuple[AnyStr, AnyStr]]:
    """Return the end-to-end headers, unchanged and in order. Names and values are all bytes (ASGI) or all strings."""
    named = [(_lower(pair[0]), pair) for pair in headers]
    dropped = HOP_BY_HOP.union(options_of(_lower(value) for name, (_, value) in named if name == "connection"))
    return [pair for name, pair in named if name not in dropped]


def options_of(values: Iterable[str]) -> set[str]:
    """Return the headers that a proxy drops because the values of `Connection`, in lower case, name them."""
    return {option for value in values for option in map(str.strip, value.split(",")) if _is_hop_by_hop(option)}


def _is_hop_by_hop(option: str) -> bool:
    """Return whether an option of `Connection` may name a header that a proxy drops."""
    return option not in _END_TO_END and not option.startswith(_END_TO_END_PREFIXES)


def _lower(part: str | bytes) -> str:
    return (part if isinstance(part, str) else part.decode("latin-1")).lower()
