"""One request in the router: its headers, its body within limits, and the memory that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any, TypeVar

from common.http1.upload import Content, Upload
from functions.router.compression import Decompressed, decompress
from functions.router.headers import RawHeaders
from functions.router.reply import CompleteReply
from functions.runtime.errors import ClientGone, TimedOut, TooLarge
from functions.runtime.http.asgi import Receive, Scope, read_body
from functions.runtime.inference.budget import Budget
from functions.runtime.inference.limits import OFF_LOOP_BYTES
from functions.runtime.protocols.body import check_json

T = TypeVar("T")

# A search through this much takes less than a millisecond.
SEARCHED_BYTES = 1024 * 1024
# From this size on a body is not held in memory if it need not be read. A smaller one can be sent again.
UPLOADED_BYTES = 1024 * 1024
JSON_LENGTH = b"inference-header-content-length"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLimits:
    """Bytes of a body, of JSON that is parsed here, and of all bodies in memory; requests in flight."""

    body_bytes: int
    json_bytes: int
    bodies_bytes: int
    requests: int


@dataclass(slots=True, eq=False)
class Call:
    """A request.

    `held` are the bytes that it has taken from the budget. `started`, and `deadline`, until which its caller waits, are on
    the monotonic clock. `is_received` is whether its body has arrived as a whole. `ended` is why the work on it was ended
    before its time, if it was.
    """

    scope: Scope
    receive: Receive
    limits: RouterLimits
    budget: Budget
    threads: ThreadPoolExecutor
    headers: dict[bytes, bytes]
    held: int = 0
    started: float = field(default_factory=monotonic)
    deadline: float = inf
    is_received: bool = False
    ended: Exception | None = None
    _task: asyncio.Task[Any] | None = None
    _timer: asyncio.TimerHandle | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.scope["method"])

    @property
    def target(self) -> str:
        """Path and query, encoded as received."""
        query: bytes = self.scope["query_string"]
        path: bytes = self.scope["raw_path"]
        return (path + (b"?" + query if query else b"")).decode("latin-1")

    async def body(self) -> bytes:
        """Receive the body. Raises TooLarge, Overloaded and ClientGone."""
        content = await read_body(self.receive, self.headers.get(b"content-length"), self.limits.body_bytes, self.budget)
        self.held += len(content)
        self.is_received = True
        return content

    def begin(self) -> None:
        """The current task begins the work on the request, which `limit` and `end` end."""
        self._task = asyncio.current_task()

    def limit(self, seconds: float) -> None:
        """End the work this long after the request's arrival: its caller waits no longer. Raises TimedOut if that is past."""
        if self.started + seconds >= self.deadline:
            return
        self.deadline = self.started + seconds
        left = self.deadline - monotonic()
        if left <= 0:
            raise self._late()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(left, lambda: self.end(self._late()))

    def end(self, why: Exception) -> None:
        """End the work on the request."""
        if self._task is not None and self.ended is None:
            self.ended = why
            self._task.cancel()

    def finish(self) -> None:
        """The work is done."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()

    def reason(self, error: Exception | asyncio.CancelledError) -> Exception | asyncio.CancelledError:
        """Why the work has failed with an error: that of `end` if it was ended, and the deadline if it is past."""
        task = asyncio.current_task()
        if self.ended is not None and isinstance(error, asyncio.CancelledError) and task is not None:
            task.uncancel()
            return self.ended
        return self._late() if isinstance(error, TimedOut) and self.is_late else error

    @property
    def is_late(self) -> bool:
        """Whether the caller waits no longer."""
        return monotonic() >= self.deadline

    def _late(self) -> TimedOut:
        return TimedOut(
            f"the request was not answered within the {self.deadline - self.started:.6g} s of its caller", remedy="allow more time"
        )

    async def incoming(self) -> Content:
        """The body of a request whose arm is known without it: a large one is sent as it arrives.

        Raises as `body` does; an upload raises ClientGone.
        """
        declared = self.headers.get(b"content-length", b"")
        length = int(declared) if declared.isdigit() and len(declared) <= 18 else 0
        if not UPLOADED_BYTES < length <= self.limits.body_bytes:
            return await self.body()
        return Upload(length, b"", self._next)

    async def whole(self, upload: Upload) -> bytes:
        """The body of an upload after all. Raises Overloaded and ClientGone."""
        self.hold(upload.length)
        return await upload.begin(upload.length)

    async def _next(self) -> bytes:
        """The next bytes of the body."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            self.is_received = not message.get("more_body")
            if chunk:
                return chunk

    def hold(self, size: int) -> None:
        """Take more bytes from the budget, until the request is answered. Raises Overloaded."""
        self.budget.take(size, self.held)
        self.held += size

    def close(self) -> None:
        """Return the bytes to the budget."""
        self.budget.give(self.held)
        self.held = 0

    @property
    def encoding(self) -> bytes:
        """The Content-Encoding of the body; empty if it is not compressed."""
        encoding = self.headers.get(b"content-encoding", b"")
        return b"" if encoding.lower() == b"identity" else encoding

    async def decompressed(self, body: bytes, most: int) -> Decompressed:
        """The first `most` bytes of the body without its encoding.

        Raises UnsupportedMedia, InvalidInput, Overloaded.
        """
        found = await self.offload(len(body), decompress, body, self.encoding, most)
        self.hold(len(found.content))
        return found

    def json_length(self, body: bytes) -> int | None:
        """The bytes of the body that are JSON if binary tensors follow."""
        return json_length(self.headers.get(JSON_LENGTH), len(body))

    async def read_json(self, body: bytes) -> bytes:
        """The whole body without its encoding, to be parsed here. Raises as `decompressed` and `check_json` do."""
        if self.encoding:
            found = await self.decompressed(body, self.limits.json_bytes)
            if not found.whole:
                raise TooLarge(
                    f"the decompressed body has more than {self.limits.json_bytes} bytes of JSON", remedy="send several requests"
                )
            body = found.content
        self.check_json(body)
        return body

    def check_json(self, body: bytes, length: int | None = None) -> None:
        """Raise TooLarge for JSON that is too long to be parsed here.

        A request that is forwarded unchanged meets the limits of its model instead.
        """
        check_json(body, len(body) if length is None else length, self.limits.json_bytes, remedy="send several requests")

    def reply_limit(self, headers: RawHeaders) -> int:
        """The bytes that a reply to be joined may have: only JSON is parsed."""
        return self.limits.body_bytes if any(name == JSON_LENGTH for name, _ in headers) else self.limits.json_bytes

    def check_reply(self, reply: CompleteReply) -> None:
        """Raise TooLarge for a reply that is too long to be parsed here: fewer rows have a shorter one."""
        length = json_length(reply.header(JSON_LENGTH), len(reply.body))
        length = len(reply.body) if length is None else length
        check_json(reply.body, length, self.limits.json_bytes, what="answer", remedy="send fewer rows at once")

    async def offload(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Work on `size` bytes: at once if they are few, otherwise in another thread."""
        if size < OFF_LOOP_BYTES:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)


def json_length(header: bytes | None, size: int) -> int | None:
    """The bytes that are JSON in a body of this size, by the header that says so; None if all are."""
    return min(int(header), size) if header is not None and header.isdigit() and len(header) <= 18 else None


async def contains(body: bytes, needle: bytes, length: int) -> bool:
    """Whether the first `length` bytes contain the needle.

    The event loop serves other requests during a long search.
    """
    if length <= SEARCHED_BYTES:
        return body.find(needle, 0, length) >= 0
    for start in range(0, length, SEARCHED_BYTES):
        if body.find(needle, start, min(length, start + SEARCHED_BYTES + len(needle) - 1)) >= 0:
            return True
        await asyncio.sleep(0)
    return False
