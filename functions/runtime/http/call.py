"""The life cycle of one request to a model: its body, byte budget, deadline, and the offloading of its work."""

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
from functions.runtime.inference.registry import ModelEntry
from functions.runtime.observability.exchange import Exchange

T = TypeVar("T")

# Parsing this much takes a millisecond or more, during which the event loop would serve no other request.
OFF_LOOP_BYTES = 32 * 1024
# From this many rows on, a disconnect of the client is watched for and cancels the prediction.
_WATCHED_ROWS = 256
_JSON_LENGTH = b"inference-header-content-length"
# Content types that are read as JSON: a missing one, and the defaults of curl and of other clients.
_JSON_LIKE = (b"", b"application/octet-stream", b"application/x-www-form-urlencoded", b"text/plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of requests over HTTP."""

    body_bytes: int
    """Bytes of one body, uncompressed."""

    json_bytes: int
    """Bytes of the JSON part of one body."""

    bodies_bytes: int
    """Bytes of all request and response bodies in memory at once."""

    requests: int
    """Requests in flight at once."""

    timeout_seconds: float
    """Seconds from a request's arrival to its prediction."""


@dataclass(slots=True)
class Call:
    """One inference request in progress.

    `content` is its uncompressed body, `answer_bytes` the budget taken for its response.
    """

    scope: Scope
    receive: Receive
    exchange: Exchange
    limits: RequestLimits
    budget: Budget
    threads: ThreadPoolExecutor
    headers: dict[bytes, bytes]
    entry: ModelEntry = field(init=False)
    content: bytes = b""
    answer_bytes: int = 0
    started: int = field(default_factory=monotonic_ns)

    async def body(self) -> bytes:
        """Read the body and decompress it.

        Raises UnsupportedMedia, TooLarge, Overloaded, ClientGone, and InvalidInput for truncated compressed data.
        """
        encoding = self.headers.get(b"content-encoding")
        coding = coding_of(encoding) if encoding is not None else ""
        self.content = await read_body(self.receive, self.headers.get(b"content-length"), self.limits.body_bytes, self.budget)
        if coding:
            self.content = await self._decompressed(self.content, coding)
        self.exchange.request_bytes = len(self.content)
        return self.content

    async def _decompressed(self, body: bytes, coding: str) -> bytes:
        """Decompress a body, counting each piece in the budget: a few compressed bytes may expand to the limit."""
        found = pieces(body, coding)
        content = bytearray()
        size = len(body)  # of the first piece's work; later pieces are offloaded even for a small body
        try:
            while piece := await self.offload(size, next, found, b""):
                if len(content) + len(piece) > self.limits.body_bytes:
                    raise TooLarge(f"the uncompressed body has more than {self.limits.body_bytes} bytes", remedy="send several requests")
                self.budget.take(len(piece), len(body) + len(content))
                content += piece
                size = OFF_LOOP_BYTES
        except BaseException:
            self.budget.give(len(content))
            raise
        self.budget.give(len(body))
        return bytes(content)

    def check_json(self) -> None:
        """Raise UnsupportedMedia if the Content-Type is not JSON."""
        content_type = self.headers.get(b"content-type", b"")
        if content_type == JSON:
            return
        media_type = content_type.partition(b";")[0].strip().lower()
        if media_type != JSON and media_type not in _JSON_LIKE and not media_type.endswith(b"+json"):
            found = media_type.decode("latin-1")[:80]
            raise UnsupportedMedia(f"unsupported Content-Type {found!r}", remedy="send application/json")

    def json_length(self, body: bytes) -> int | None:
        """Return the bytes of the JSON part if binary tensors follow it, otherwise None. Raises InvalidInput."""
        value = self.headers.get(_JSON_LENGTH)
        if value is None:
            return None
        if len(self.headers) < len(self.scope["headers"]) and sum(name == _JSON_LENGTH for name, _ in self.scope["headers"]) > 1:
            raise InvalidInput("Inference-Header-Content-Length is sent more than once", remedy="send it once")
        if not value.isdigit() or len(value) > 18 or int(value) > len(body):
            raise InvalidInput(
                f"Inference-Header-Content-Length is {value.decode('latin-1')[:40]!r}",
                remedy=f"send the number of bytes of the JSON part, at most the {len(body)} of the body",
            )
        return int(value)

    async def offload(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Do the work for `size` bytes: on the event loop if it is small, otherwise in a thread.

        Raises TimedOut at the request's deadline; the thread, which cannot be interrupted, goes on.
        """
        if size < OFF_LOOP_BYTES:
            return work(*arguments)
        # The future has no name here: an error's traceback keeps this frame, which would keep the future, which has the
        # error; such a cycle holds the request's body until the garbage collector finds it.
        try:
            async with asyncio.timeout(max(0.0, self.deadline - monotonic())) as limit:
                return await asyncio.get_running_loop().run_in_executor(self.threads, _done, work, arguments)
        except TimeoutError:
            if not limit.expired():  # raised by the work itself
                raise
            raise TimedOut("the request timed out", remedy="send fewer rows, or raise the timeout") from None

    def decoded(self, rows: int) -> None:
        """Record the end of decoding."""
        self.exchange.rows = rows
        self.exchange.decoded = monotonic_ns() - self.started

    def predicted(self) -> None:
        """Record the end of the prediction."""
        self.exchange.predicted = monotonic_ns() - self.started

    @property
    def deadline(self) -> float:
        """Seconds of the monotonic clock at which the request times out."""
        return self.started / 1e9 + self.limits.timeout_seconds

    def cancel_on_disconnect(self, rows: int, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Return the work to await. A large request's is cancelled, with ClientGone, when its client disconnects."""
        return work if rows < _WATCHED_ROWS else self._cancel_on_disconnect(work)

    async def _cancel_on_disconnect(self, work: Coroutine[Any, Any, T]) -> T:
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise ClientGone
        finally:
            working.cancel()
            gone.cancel()
            del working, gone  # with an error, they and this frame would form a cycle that keeps the request

    def expect(self, size: int) -> None:
        """Take the expected bytes of the response from the budget, before the prediction. Raises Overloaded."""
        if size >= LARGE_ANSWER_BYTES:
            self.budget.take(size, len(self.content))
            self.answer_bytes = size

    def answered(self, size: int) -> None:
        """Correct the budget to the response's actual bytes, which count until the client has read them."""
        self.budget.replace(self.answer_bytes, size)
        self.answer_bytes = size

    def close(self) -> None:
        """Return all bytes of the request to the budget."""
        self.budget.give(len(self.content) + self.answer_bytes)

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _done(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Do the work, and raise RuntimeError for StopIteration, which a future cannot raise but a user's transform can."""
    try:
        return work(*arguments)
    except StopIteration as error:
        raise RuntimeError("StopIteration") from error
