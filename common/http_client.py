"""HTTP between the parts: a client that resolves names under `localhost`."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

# uvicorn closes a connection that is idle for 5 s; closing first avoids writing into one that is being closed.
_KEEPALIVE_SECONDS = 4.0


class LocalhostResolver(AbstractResolver):
    """A resolver that maps names under `localhost` to the loopback address (RFC 6761, section 6.3)."""

    def __init__(self) -> None:
        self._others = DefaultResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if host == "localhost" or host.endswith(".localhost"):
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]
        return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        await self._others.close()


def session(*, timeout_seconds: float | None, connections: int = 0, raw: bool = False) -> aiohttp.ClientSession:
    """Return a session without cookies and with at most `connections` open connections; 0 means unlimited.

    `raw` leaves bodies compressed, for a proxy that forwards their `content-encoding`.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, resolver=LocalhostResolver(), keepalive_timeout=_KEEPALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=not raw,
    )
