"""The connections to all servers: kept while they are idle, for as long as the server keeps them, and within a limit."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cache, partial
from math import inf
from time import monotonic

from common.http1.connection import Body, Connection
from common.http1.errors import ConnectionBroken, ConnectTimedOut, NotConnected
from common.http1.names import Names
from common.http1.origin import Origin, head_of
from common.http1.upload import Content, Upload, length_of

_CONNECT_SECONDS = 10.0
# uvicorn closes a connection that is idle for 5 s; closing first avoids writing into one that is being closed.
_IDLE_SECONDS = 4.0
_SWEEP_SECONDS = 1.0
# Idle connections to one server; more are closed when their call is done.
_MOST_IDLE = 256
# Methods whose requests may be sent again when it is unknown whether the first was executed (RFC 9110, section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Pool:
    """Calls servers over connections that are kept. `close` ends it.

    `tls` makes the context of TLS; the default one trusts the certificates of the system.
    """

    def __init__(self, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        self._names = Names()
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        # Made for the first server that needs it, since reading the system's certificates takes milliseconds.
        self._tls = cache(tls)

    async def call(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        body: Content,
        deadline: float,
        *,
        repeatable: bool = False,
    ) -> Body:
        """Send a request; returns its reply as soon as its head and the beginning of its body have arrived.

        The deadline, on the monotonic clock, is that of the whole call, the rest of its body included. `repeatable` says
        that to execute the request twice does no harm, whatever its method. Raises NotConnected when nothing was sent,
        ConnectionBroken, MalformedReply, TimeoutError and InvalidHead.
        """
        head = head_of(origin, method, target, headers, length_of(body))
        connection = self._take(origin)
        if connection is None:
            connection = await self._connect(origin, deadline)
        try:
            return await self._exchange(connection, method, head, body, deadline)
        except ConnectionBroken:
            # The server may have closed a kept connection before the request arrived (RFC 9112, section 9.3.1), which cannot
            # be distinguished from a server that fails while it executes it. Once only: a request that ends its server
            # must not end all of them.
            may_repeat = repeatable or method in _IDEMPOTENT
            if not connection.is_used or not may_repeat or connection.has_begun or isinstance(body, Upload):
                raise
        return await self._exchange(await self._connect(origin, deadline), method, head, body, deadline)

    async def close(self) -> None:
        """Close all connections."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in [*self._busy, *(item for items in self._idle.values() for item in items)]:
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop closes them in its next round

    async def _exchange(self, connection: Connection, method: str, head: bytes, body: Content, deadline: float) -> Body:
        if not connection.is_open:  # its server was faster
            raise ConnectionBroken("the server disconnected")
        self._busy.add(connection)
        if deadline < self._wakes_at:
            self._wake_at(min(deadline, monotonic() + _SWEEP_SECONDS))
        return await connection.exchange(method, head, body, deadline)

    def _take(self, origin: Origin) -> Connection | None:
        """Take the connection that was used last: the others grow old, and are closed."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if monotonic() - connection.idle_since < _IDLE_SECONDS and connection.is_kept():
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """Connect to the first address that accepts.

        Raises NotConnected, ConnectionBroken without a TLS session, and TimeoutError at the deadline.
        """
        limit = monotonic() + _CONNECT_SECONDS
        try:
            async with asyncio.timeout(max(min(limit, deadline) - monotonic(), 0.0)):
                return await self._first(origin)
        except TimeoutError:
            self._names.forget(origin.host)
            if deadline <= limit:
                raise
            raise ConnectTimedOut(f"no connection within {_CONNECT_SECONDS:g} seconds") from None

    async def _first(self, origin: Origin) -> Connection:
        failed: OSError | None = None
        addresses = await self._names.addresses(origin.host)
        tls, name = (self._tls(), origin.host) if origin.is_secure else (None, None)
        for address in addresses:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(partial(self._release, origin), self._busy.discard),
                    address,
                    origin.port,
                    ssl=tls,
                    server_hostname=name,
                )
            except ssl.SSLError as error:
                raise ConnectionBroken(f"TLS: {error.reason or error}") from None
            except OSError as error:
                failed = error
            else:
                return connection
        self._names.forget(origin.host)
        raise NotConnected(f"{', '.join(addresses)}: {failed.strerror or failed}" if failed else "the name has no address")

    def _release(self, origin: Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        idle = self._idle.setdefault(origin, [])
        if len(idle) >= _MOST_IDLE:
            connection.close()
        else:
            idle.append(connection)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        self._timer = asyncio.get_running_loop().call_later(max(when - monotonic(), 0.0), self._sweep)

    def _sweep(self) -> None:
        """End the calls whose time is over, and close the connections that are idle for too long."""
        now = monotonic()
        for connection in [item for item in self._busy if item.deadline <= now]:
            connection.expire()
        for origin, idle in list(self._idle.items()):
            kept = [item for item in idle if item.is_open and now - item.idle_since < _IDLE_SECONDS]
            for connection in set(idle).difference(kept):
                connection.close()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        self._timer, self._wakes_at = None, inf
        if self._busy or self._idle:
            later = (item.deadline for item in self._busy if item.deadline > now)
            self._wake_at(min([now + _SWEEP_SECONDS, *later]))
