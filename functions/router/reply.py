"""A revision's reply: streamed to the caller, or read within limits to be joined with others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.http1.connection import Body
from common.http1.errors import CallFailed
from functions.router.headers import RawHeaders
from functions.runtime.errors import BadAnswer, TooLarge, Unreachable
from functions.runtime.http.asgi import Receive, Send
from functions.runtime.knative.traffic import Arm

log = logging.getLogger("tidegate.router")

REVISION = b"tidegate-revision"
# Statuses of replies without a body and without a length (RFC 9110, section 8.6).
_BODILESS = frozenset({204, 304})
# Up to this size a reply is left to the server's buffers.
_BUFFERED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class CompleteReply:
    """A reply whose body is in memory."""

    status: int
    headers: RawHeaders
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def header(self, name: bytes) -> bytes | None:
        """The value of a header; `name` is in lower case."""
        return next((value for known, value in self.headers if known == name), None)

    async def send(self, send: Send, revisions: Sequence[str], *, length: bytes | None = None) -> None:
        """Send the reply with the names of the revisions that it is from.

        `length` is the Content-Length of a reply to HEAD, where it is not that of the body.
        """
        headers = [*self.headers, (REVISION, ", ".join(revisions).encode())]
        if self.status not in _BODILESS:
            headers.append((b"content-length", str(len(self.body)).encode() if length is None else length))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        # The server completes the last, empty message when the caller has read what was written before it.
        if self.body:
            await send({"type": "http.response.body", "body": self.body, "more_body": len(self.body) > _BUFFERED_BYTES})
        if len(self.body) > _BUFFERED_BYTES or not self.body:
            await send({"type": "http.response.body", "body": b""})


class Watch(Protocol):
    """Sees a reply while it is streamed."""

    def chunk(self, chunk: bytes) -> None: ...
    def end(self, *, complete: bool, broken: bool = False) -> None: ...


class Reply:
    """The status and headers of a reply, and its body, which can be read or sent once.

    `begun` is the part of the body that has arrived: all of it where `rest` is None. `length` is that of the
    Content-Length.
    """

    def __init__(
        self,
        status: int,
        headers: RawHeaders,
        begun: bytes,
        arm: Arm,
        rest: Body | None = None,
        length: int | None = None,
        *,
        is_head: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self.arm = arm
        self._begun = begun
        self._rest = rest
        self._declared = None if length is None else b"%d" % length
        self._is_head = is_head
        self.watch: Watch | None = None

    @property
    def content(self) -> bytes | None:
        """The body if it has arrived with the head; None if it is streamed."""
        return self._begun if self._rest is None else None

    def close(self) -> None:
        """Close the connection unless the body is complete."""
        if self._rest is not None:
            self._rest.close()

    async def read(self, limit: int, hold: Callable[[int], None]) -> CompleteReply:
        """Read the whole body, of at most `limit` bytes, which `hold` takes from a budget.

        Raises BadAnswer, TooLarge, Overloaded, Unreachable.
        """
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in self.headers):
            self.close()
            raise BadAnswer(f"revision {self.arm.revision} compressed its reply without being asked to", remedy="see its log")
        chunks, size = [], 0
        try:
            chunk = self._begun
            while chunk:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(
                        f"the reply of revision {self.arm.revision} has more than {limit} bytes", remedy="send fewer rows at once"
                    )
                hold(len(chunk))
                chunks.append(chunk)
                chunk = b"" if self._rest is None else await self._next(self._rest)
        except BaseException:
            self.close()
            raise
        return CompleteReply(self.status, self.headers, b"".join(chunks))

    async def send(self, send: Send, receive: Receive) -> None:
        """Stream the reply to the caller.

        A reply that breaks off is not completed, so that the caller does not take a part for the whole.
        """
        revision = self.arm.revision
        if self._rest is None:
            complete = CompleteReply(self.status, self.headers, self._begun)
            await complete.send(send, (revision,), length=self._declared if self._is_head else None)
            return
        headers = [*self.headers, (REVISION, revision.encode())]
        if self._declared is not None:
            headers.append((b"content-length", self._declared))
        disconnected = asyncio.ensure_future(_disconnect(receive))
        # At once, not at the next chunk: a revision that sends nothing would keep its connection.
        disconnected.add_done_callback(lambda _: self.close())
        is_complete = is_broken = False
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            chunk = self._begun
            while chunk and not disconnected.done():
                if self.watch is not None:
                    self.watch.chunk(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await self._next(self._rest)
            if not disconnected.done():
                is_complete = True
                await send({"type": "http.response.body", "body": b""})
        except Unreachable as error:
            is_broken = not disconnected.done()
            if is_broken:
                log.warning("the reply of revision %s was cut off: %s", revision, error)
        finally:
            disconnected.cancel()
            self.close()
            if self.watch is not None:
                self.watch.end(complete=is_complete, broken=is_broken)

    async def _next(self, rest: Body) -> bytes:
        """The next chunk of the body, empty at its end. Raises Unreachable."""
        try:
            return await rest.next()
        except (CallFailed, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"the reply of revision {self.arm.revision} broke off ({why})", remedy="retry") from None


async def _disconnect(receive: Receive) -> None:
    """Wait until the caller has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
