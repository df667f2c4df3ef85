"""One connection to a server: a request, its reply, and then the next request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, cast

from common.http1.errors import CallFailed, ConnectionBroken, MalformedReply
from common.http1.reader import ReplyReader
from common.http1.upload import Content, Upload
from common.sockets import poll_of

if TYPE_CHECKING:
    import select

# A reply up to this size is read whole, which saves its reader from waiting twice.
WHOLE_BYTES = 64 * 1024
# A body above this size is written in parts, as the server reads it.
_PART_BYTES = 256 * 1024
# Bytes of a body that wait for their reader, beyond which the server has to wait.
_HIGH_BYTES = 128 * 1024


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time.

    `released` is called when it can carry another one, `lost` when it is closed. `deadline` is on the monotonic clock.
    """

    def __init__(self, released: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._released = released
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._transport: asyncio.Transport
        self._reply: Body | None = None
        self._drained: asyncio.Future[None] | None = None
        self._paused = False
        self._is_sending = False
        self._unread: select.poll | None = None
        self.is_open = False
        self.is_used = False
        self.idle_since = 0.0
        self.deadline = 0.0

    def is_kept(self) -> bool:
        """Whether an idle connection is still open, as far as the system knows, which may know more than the loop."""
        return self.is_open and not (self._unread and self._unread.poll(0))

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the reply has arrived."""
        return self._reader.has_begun

    async def exchange(self, method: str, head: bytes, body: Content, deadline: float) -> Body:
        """Send a request; returns its reply as soon as its head and the beginning of its body have arrived.

        Raises ConnectionBroken, MalformedReply and TimeoutError, and what the rest of an upload raises.
        """
        self._reader.begin(method)
        self.deadline = deadline
        reply = self._reply = Body(self)
        try:
            if isinstance(body, Upload):
                await self._send(head, body.next, reply)
            elif len(body) > _PART_BYTES:
                await self._send(head, _parts(body), reply)
            else:
                self._transport.write(head + body if body else head)
                await reply.begun
        except BaseException:
            if self._reply is reply:  # otherwise the connection may already carry another call
                self.abort()
            raise
        return reply

    def expire(self) -> None:
        """End the call that is in flight: its time is over."""
        self._fail(TimeoutError())

    def abort(self) -> None:
        """Close the connection at once. A reply that is not complete breaks off."""
        self._fail(ConnectionBroken("closed"))

    def close(self) -> None:
        """Close a connection without a call. What its server has not read of a request is not sent any more."""
        self.is_open = False
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # otherwise it would wait for a server that may never read on
        else:
            self._transport.close()

    def read_on(self) -> None:
        """Read again after `_HIGH_BYTES` have waited."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # Callbacks of the transport.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self._unread = poll_of(transport)

    def data_received(self, data: bytes) -> None:
        reply, reader = self._reply, self._reader
        if reply is None:  # there is no request
            self.close()
            return
        try:
            reader.feed(data)
        except MalformedReply as error:
            self._fail(error)
            return
        self._progress(reply)

    def eof_received(self) -> bool:
        self.is_open = False
        if self._reply is not None and self._reader.end():
            self._progress(self._reply)
        elif self._reply is not None:
            self._fail(ConnectionBroken("the server disconnected"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(ConnectionBroken(str(exc) if exc else "the server disconnected"))
        self._reader.close()
        self._lost(self)

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def _send(self, head: bytes, part: Callable[[], Awaitable[bytes | memoryview]], reply: Body) -> None:
        """Send a large body, until the reply begins: a server may refuse a body before it has read it."""
        self._is_sending = True
        self._transport.write(head)
        while self._is_sending:
            sending = asyncio.ensure_future(self._send_part(part))
            try:
                await asyncio.wait((sending, reply.begun), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not sending.done():
                    sending.cancel()
            if reply.begun.done():
                break
            self._is_sending = sending.result()
        await reply.begun

    async def _send_part(self, part: Callable[[], Awaitable[bytes | memoryview]]) -> bool:
        """Send the next part of a body, and wait until the server has read enough; returns whether there was one."""
        data = await part()
        if data:
            self._transport.write(data)
            if self._drained is not None:
                await self._drained
        return bool(data)

    def _progress(self, reply: Body) -> None:
        reader = self._reader
        if reader.complete:
            self._reply = None
            reply.finish(reader)
            if reader.reusable and not self._is_sending and self.is_open:
                self.is_used = True
                self.idle_since = monotonic()
                self.read_on()
                self._released(self)
            else:
                self.close()
        elif reader.buffered and (reader.length is None or reader.length > WHOLE_BYTES):
            self._pause(reply.receive(reader))

    def _pause(self, waiting: int) -> None:
        if waiting > _HIGH_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _fail(self, error: CallFailed | TimeoutError) -> None:
        reply, self._reply = self._reply, None
        self.is_open = False
        self._transport.abort()  # also of one that is being closed, which waits until its server has read everything
        self.resume_writing()
        if reply is not None:
            reply.fail(error)


class Body:
    """A reply: `begun` is done as soon as `status`, `headers` and the beginning of its body are there, or with an error.

    `length` is that of Content-Length. `is_whole` is whether the whole body had arrived then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = connection._loop  # noqa: SLF001 they are one component
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.is_whole = False
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_complete = False
        self._error: CallFailed | TimeoutError | None = None
        self._more: asyncio.Future[None] | None = None

    async def next(self) -> bytes:
        """Return what has arrived of the body, at least a byte; empty at its end. Raises as `Connection.exchange` does."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                return b""
            self._more = self._loop.create_future()
            await self._more
        chunks, self._chunks, self._size = self._chunks, [], 0
        if not self._is_complete:  # afterwards the connection carries another reply
            self._connection.read_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def read(self) -> bytes:
        """Return the rest of the body, of any size. Raises as `next` does."""
        chunks = []
        while chunk := await self.next():
            chunks.append(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        """Give up the rest of the body: its connection is closed unless the body is complete."""
        if not self._is_complete and self._error is None:
            self._connection.abort()

    # Called by the connection.
    def receive(self, reader: ReplyReader) -> int:
        """Take what the reader has; returns the bytes that wait."""
        chunk = reader.take()
        self._size += len(chunk)
        self._chunks.append(chunk)
        self._begin(reader)
        return self._size

    def finish(self, reader: ReplyReader) -> None:
        self._is_complete = True
        self.is_whole = not self.begun.done()
        if reader.buffered:
            self._chunks.append(reader.take())
        self._begin(reader)

    def fail(self, error: CallFailed | TimeoutError) -> None:
        self._error = error
        if not self.begun.done():
            self.begun.set_exception(error)
            self.begun.exception()  # retrieved here, since a cancelled call does not wait any more
        self._wake()

    def _begin(self, reader: ReplyReader) -> None:
        if not self.begun.done():
            self.status, self.headers, self.length = reader.status, reader.headers, reader.length
            self.begun.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)


def _parts(body: bytes) -> Callable[[], Awaitable[memoryview]]:
    """A function that returns the next part of a body, an empty one at its end."""
    rest = memoryview(body)

    async def next_part() -> memoryview:
        nonlocal rest
        part, rest = rest[:_PART_BYTES], rest[_PART_BYTES:]
        return part

    return next_part
