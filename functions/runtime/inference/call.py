"""The life cycle of an inference call, independent of its transport: admission, memory, deadline, threads, failure."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from time import monotonic, monotonic_ns
from typing import Any, Self, TypeVar

from functions.runtime.errors import ClientGone, TimedOut, too_many_requests
from functions.runtime.inference.budget import LARGE_ANSWER_BYTES, Budget
from functions.runtime.inference.failure import Failure, failure_of
from functions.runtime.inference.limits import OFF_LOOP_BYTES
from functions.runtime.inference.registry import ModelEntry
from functions.runtime.observability.exchange import Exchange

T = TypeVar("T")

# From this many rows on, a disconnect of the client is watched for and cancels the prediction.
_WATCHED_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of a function's calls."""

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


class Capacity:
    """The limits of a function and what its calls take of them, over all transports."""

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self.budget = Budget(limits.bodies_bytes)
        # Two threads, so that a huge request does not block a large one.
        self.threads = ThreadPoolExecutor(2, "codec")
        self.in_flight = 0

    def close(self) -> None:
        """Stop the threads, after the last call."""
        self.threads.shutdown()


@dataclass(slots=True)
class Call(ABC):
    """One inference call, in flight while it is entered. Each transport has a subclass, which reads the request.

    `content` is the uncompressed request, whose bytes were taken from the budget; `answer_bytes` is the budget taken
    for the response. `timeout_seconds` is how long the caller waits.
    """

    capacity: Capacity
    exchange: Exchange
    entry: ModelEntry = field(init=False)
    content: bytes = field(init=False, default=b"")
    answer_bytes: int = field(init=False, default=0)
    timeout_seconds: float = field(init=False, default=inf)
    started: int = field(init=False, default_factory=monotonic_ns)

    def __enter__(self) -> Self:
        self.capacity.in_flight += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.capacity.in_flight -= 1
        self.capacity.budget.give(len(self.content) + self.answer_bytes)
        self.exchange.took = monotonic_ns() - self.started

    @abstractmethod
    async def disconnected(self) -> None:
        """Return once the client has disconnected. Called after the whole request was read."""

    def admit(self, find: Callable[[], ModelEntry]) -> None:
        """Admit the call to the model that `find` returns.

        Raises Overloaded when too many calls are in flight, and what `find` raises.
        """
        if self.capacity.in_flight > self.capacity.limits.requests:
            raise too_many_requests(self.capacity.limits.requests)
        entry = self.entry = find()
        self.exchange.model, self.exchange.version = entry.name, entry.version or ""

    async def offload(self, size: int, work: Callable[..., T], *arguments: Any) -> T:
        """Do the work for `size` bytes: on the event loop if it is small, otherwise in a thread.

        Raises TimedOut at the call's deadline; the thread, which cannot be interrupted, goes on.
        """
        if size < OFF_LOOP_BYTES:
            return work(*arguments)
        # The future has no name here: an error's traceback keeps this frame, which would keep the future, which has the
        # error; such a cycle holds the request's body until the garbage collector finds it.
        try:
            async with asyncio.timeout(max(0.0, self.deadline - monotonic())) as limit:
                return await asyncio.get_running_loop().run_in_executor(self.capacity.threads, _done, work, arguments)
        except TimeoutError:
            if not limit.expired():  # raised by the work itself
                raise
            raise TimedOut("the request timed out", remedy="send fewer rows, or raise the timeout") from None

    def limit(self, seconds: float) -> None:
        """End the call after this time since its arrival: the caller waits no longer."""
        self.timeout_seconds = min(self.timeout_seconds, seconds)

    def decoded(self, rows: int) -> None:
        """Record the end of decoding."""
        self.exchange.rows = rows
        self.exchange.decoded = monotonic_ns() - self.started

    def predicted(self) -> None:
        """Record the end of the prediction."""
        self.exchange.predicted = monotonic_ns() - self.started

    @property
    def deadline(self) -> float:
        """Seconds of the monotonic clock at which the call times out."""
        return self.started / 1e9 + min(self.capacity.limits.timeout_seconds, self.timeout_seconds)

    def cancel_on_disconnect(self, rows: int, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Return the work to await. A large request's is cancelled, with ClientGone, when its client disconnects."""
        return work if rows < _WATCHED_ROWS else self._cancel_on_disconnect(work)

    async def _cancel_on_disconnect(self, work: Coroutine[Any, Any, T]) -> T:
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self.disconnected())
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
            self.capacity.budget.take(size, len(self.content))
            self.answer_bytes = size

    def answered(self, status: int, size: int) -> None:
        """Record the response. Its bytes replace the expected ones, and count until the client has read them."""
        self.exchange.status, self.exchange.response_bytes = status, size
        self.capacity.budget.replace(self.answer_bytes, size)
        self.answer_bytes = size

    def failed(self, error: Exception | asyncio.CancelledError) -> Failure:
        """Record a failure and return it, for the transport to encode."""
        failure = failure_of(error, f"{self.exchange.method} {self.exchange.route}".strip())
        self.exchange.status, self.exchange.reason = failure.status, failure.reason
        return failure


def _done(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Do the work, and raise RuntimeError for StopIteration, which a future cannot raise but a user's transform can."""
    try:
        return work(*arguments)
    except StopIteration as error:
        raise RuntimeError("StopIteration") from error
