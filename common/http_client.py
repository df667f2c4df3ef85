"""HTTP between the parts: a client that resolves names under `localhost`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from common.sockets import has_unread

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

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


class Connector(aiohttp.TCPConnector):
    """A connector that passes over a kept connection whose server has closed it, although the event loop has not read that.

    A busy loop may be late by as much as a server takes to end. TLS is left out: its connections have bytes of their own.
    """

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit, resolver=LocalhostResolver(), keepalive_timeout=_KEEPALIVE_SECONDS)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109 aiohttp's
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                return connection
            if protocol not in self._used or req.is_ssl() or not has_unread(transport):
                self._used.add(protocol)
                return connection
            connection.close()


def session(*, timeout_seconds: float | None, connections: int = 0, raw: bool = False) -> aiohttp.ClientSession:
    """Return a session without cookies and with at most `connections` open connections; 0 means unlimited.

    `raw` leaves bodies compressed, for a proxy that forwards their `content-encoding`.
    """
    return aiohttp.ClientSession(
        connector=Connector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=not raw,
    )
