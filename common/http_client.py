"""HTTP between the parts: a client for which names under `localhost` are this machine, and what a proxy may pass on."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import AnyStr

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

# uvicorn closes a connection that is idle for 5 s; closing first avoids writing into one that is being closed.
_KEEPALIVE_SECONDS = 4.0
# What belongs to one connection (RFC 9110, section 7.6.1), what older proxies send, and `expect`, which a proxy answers by itself.
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)

# What is meant for the other end whatever `Connection` says (RFC 9110, section 7.6.1, forbids a sender to name it there).
# Otherwise a caller could have a proxy drop what frames a body, says who calls, routes a request or makes an event.
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

# The header of a 404 that an ingress says and not the service behind it: it knows no such host, for now.
NO_HOST = "tidegate-no-host"


class LocalhostResolver(AbstractResolver):
    """Every name under `localhost` is the loopback address (RFC 6761, section 6.3), whatever the system's resolver thinks."""

    def __init__(self) -> None:
        self._others = DefaultResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if host == "localhost" or host.endswith(".localhost"):
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]
        return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        await self._others.close()


def session(*, timeout_seconds: float | None, connections: int = 0, raw: bool = False) -> aiohttp.ClientSession:
    """A session without cookies; `connections` bounds the open ones, 0 is no bound.

    `raw` leaves bodies compressed, for a proxy: it passes their `content-encoding` on.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, resolver=LocalhostResolver(), keepalive_timeout=_KEEPALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=not raw,
    )


def end_to_end(headers: Iterable[tuple[AnyStr, AnyStr]]) -> list[tuple[AnyStr, AnyStr]]:
    """The headers that are meant for the other end, as they came and in their order: all bytes (ASGI) or all text."""
    named = [(_lower(pair[0]), pair) for pair in headers]
    listed = (_lower(value).split(",") for name, (_, value) in named if name == "connection")
    dropped = HOP_BY_HOP.union(option for options in listed for option in map(str.strip, options) if _is_hop_by_hop(option))
    return [pair for name, pair in named if name not in dropped]


def _is_hop_by_hop(option: str) -> bool:
    """Whether an option of `Connection` may name a header that a proxy drops."""
    return option not in _END_TO_END and not option.startswith(_END_TO_END_PREFIXES)


def _lower(part: str | bytes) -> str:
    return (part if isinstance(part, str) else part.decode("latin-1")).lower()
