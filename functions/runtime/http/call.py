"""One request to a model, on its way from bytes to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, monotonic_ns
from typing import Any, TypeVar

from functions.runtime.errors import InvalidInput, TimedOut, TooLarge, UnsupportedMedia
from functions.runtime.http.asgi import JSON, LARGE_ANSWER_BYTES, Budget, ClientGone, Receive, Scope, read_body
from functions.runtime.http.coding import coding_of, pieces
from functions.runtime.inference.dataplane import Slot
from functions.runtime.observability.exchange import Exchange

T = TypeVar("T")

# Reading this much takes a millisecond or more: the event loop has others to serve meanwhile.
OFF_LOOP_BYTES = 32 * 1024
# A large request has its caller watched, so that nothing is computed for one who has gone.
_WATCHED_ROWS = 256
_JSON_LENGTH = b"inference-header-content-length"
# What is read as JSON although it says something else: nothing, and what curl says of its own accord.
_JSON_LIKE = (b"", b"application/octet-stream", b"application/x-www-form-urlencoded", b"text/plain")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a body, of the JSON in it, and of all bodies at once; requests at once; seconds that one may take."""

    body_bytes: int
    json_bytes: int
    bodies_bytes: int
    requests: int
    timeout_seconds: float


@dataclass(slots=True)
class Call:
    scope: Scope
    receive: Receive
    exchange: Exchange
    limits: Limits
    budget: Budget
    threads: ThreadPoolExecutor
    headers: dict[bytes, bytes]
    slot: Slot = field(init=False)
    content: bytes = b""
    answer_bytes: int = 0
    started: int = field(default_factory=monotonic_ns)

    async def body(self) -> bytes:
        """The body, uncompressed. Raises UnsupportedMedia, TooLarge, and InvalidInput for compressed data that are cut off."""
        packed = self.headers.get(b"content-encoding")
        coding = coding_of(packed) if packed is not None else ""
        self.content = await read_body(self.receive, self.headers.get(b"content-length"), self.limits.body_bytes, self.budget)
        if coding:
            self.content = await self._unpacked(self.content, coding)
        self.exchange.request_bytes = len(self.content)
        return self.content

    async def _unpacked(self, body: bytes, coding: str) -> bytes:
        """It counts in the budget as it grows; a compressed body of a few bytes may be as large as the limit."""
        found = pieces(body, coding)
        content = bytearray()
        size = len(body)  # of work: the first piece of a small body is made at once, what comes after it beside the event loop
        try:
            while piece := await self.aside(size, next, found, b""):
                if len(content) + len(piece) > self.limits.body_bytes:
                    raise TooLarge(f"the uncompressed body has more than {self.limits.body_bytes} bytes: send several requests.")
                self.budget.take(len(piece), len(body) + len(content))
                content += piece
                size = OFF_LOOP_BYTES
        except BaseException:
            self.budget.give(len(content))
            raise
        self.budget.give(len(body))
        return bytes(content)

    def check_json(self) -> None:
        """Raises UnsupportedMedia when the body says that it is no JSON."""
        said = self.headers.get(b"content-type", b"")
        if said == JSON:
            return
        media_type = said.partition(b";")[0].strip().lower()
        if media_type != JSON and media_type not in _JSON_LIKE and not media_type.endswith(b"+json"):
            raise UnsupportedMedia(f"the body is {media_type.decode('latin-1')[:80]!r}; send application/json.")

    def json_length(self, body: bytes) -> int | None:
        """How much of the body is JSON, if binary tensors follow. Raises InvalidInput."""
        value = self.headers.get(_JSON_LENGTH)
        if value is None:
            return None
        if len(self.headers) < len(self.scope["headers"]) and sum(name == _JSON_LENGTH for name, _ in self.scope["headers"]) > 1:
            raise InvalidInput("Inference-Header-Content-Length is sent more than once; send it once.")
        if not value.isdigit() or len(value) > 18 or int(value) > len(body):
            raise InvalidInput(
                f"Inference-Header-Content-Length is {value.decode('latin-1')[:40]!r}; it is the number of bytes of the JSON part,"
                f" at most the {len(body)} of the body."
            )
        return int(value)

    async def aside(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Do what is of this size, in bytes: at once if it is small, otherwise beside the event loop. Raises TimedOut: nobody waits longer
        than the request's time, though what a thread has begun goes on."""
        if size < OFF_LOOP_BYTES:
            return work(*arguments)
        # The future has no name here: an error's traceback keeps this frame, which would keep the future, which has the error; such a
        # circle holds the request's body until the collector finds it.
        try:
            async with asyncio.timeout(max(0.0, self.deadline - monotonic())) as limit:
                return await asyncio.get_running_loop().run_in_executor(self.threads, _done, work, arguments)
        except TimeoutError:
            if not limit.expired():  # the work's own
                raise
            raise TimedOut("the request was not answered in its time; send fewer rows, or allow more.") from None

    def decoded(self, rows: int) -> None:
        self.exchange.rows = rows
        self.exchange.decoded = monotonic_ns() - self.started

    def predicted(self) -> None:
        self.exchange.predicted = monotonic_ns() - self.started

    @property
    def deadline(self) -> float:
        """On the monotonic clock."""
        return self.started / 1e9 + self.limits.timeout_seconds

    def unless_gone(self, rows: int, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The work to await; when the caller of a large request goes away, it is given up, and raises ClientGone."""
        return work if rows < _WATCHED_ROWS else self._unless_gone(work)

    async def _unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise ClientGone
        finally:
            working.cancel()
            gone.cancel()
            del working, gone  # with an error, they and this frame would keep each other, and the request

    def expect(self, size: int) -> None:
        """Take the bytes that the answer is expected to have from the budget, before anything is computed. Raises Overloaded."""
        if size >= LARGE_ANSWER_BYTES:
            self.budget.take(size, len(self.content))
            self.answer_bytes = size

    def answered(self, size: int) -> None:
        """The answer counts in the budget until the client has read it, which ends the request."""
        self.budget.replace(self.answer_bytes, size)
        self.answer_bytes = size

    def close(self) -> None:
        self.budget.give(len(self.content) + self.answer_bytes)

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _done(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """A future cannot end with StopIteration, which a user's transform may raise."""
    try:
        return work(*arguments)
    except StopIteration as error:
        raise RuntimeError("StopIteration") from error
