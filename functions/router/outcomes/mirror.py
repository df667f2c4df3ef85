"""Copies of requests for a shadow revision, which no caller waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from common.errors import TidegateError
from common.http1.upload import Content, length_of
from functions.router.headers import SHADOW, RawHeaders
from functions.router.metrics import Metrics
from functions.router.reply import REVISION
from functions.router.upstream import Upstream
from functions.runtime.knative.traffic import RoutedModel

# Enough for a shadow that is as fast as the revisions with traffic; a slow one gets fewer copies.
_MOST_IN_FLIGHT = 64
_MOST_BYTES = 16 * 2**20
# A start from zero is included; the router's own limit is for callers who wait.
_SECONDS = 60.0
_MOST_REPLY_BYTES = 4 * 2**20


class Request(NamedTuple):
    """A request as it is sent to a revision. A prediction is `repeatable`: it has no effect but its answer."""

    method: str
    target: str
    headers: RawHeaders
    body: Content
    repeatable: bool = False


class Mirror:
    """Sends copies to shadow revisions, as long as few are in flight and the router is not `busy` with callers."""

    def __init__(self, upstream: Upstream, metrics: Metrics, busy: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._metrics = metrics
        self._busy = busy
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def send(self, model: RoutedModel, request: Request, answer_bytes: int, done: Callable[[bytes | None], None]) -> bool:
        """Send a copy to the model's shadow; returns whether it is sent.

        `done` is called with the body of a successful reply, or None. Meanwhile the caller's reply is kept, which has
        `answer_bytes`, and the shadow's is about as large.
        """
        size = length_of(request.body) + 2 * answer_bytes
        if len(self._tasks) >= _MOST_IN_FLIGHT or self._bytes + size > _MOST_BYTES or self._busy():
            self._metrics.shadowed(model.name, "dropped")
            return False
        task = asyncio.create_task(self._copy(model, request, done))
        self._bytes += size
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, size))
        return True

    async def close(self) -> None:
        """Abandon the copies in flight."""
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _copy(self, model: RoutedModel, request: Request, done: Callable[[bytes | None], None]) -> None:
        body = await self._call(model, request)
        self._metrics.shadowed(model.name, "failed" if body is None else "answered")
        done(body)

    async def _call(self, model: RoutedModel, request: Request) -> bytes | None:
        arm = model.shadow
        if arm is None:
            return None
        began, status = monotonic(), 0
        try:
            reply = await self._upstream.call(arm, request.method, request.target, _copied(request.headers), request.body, _SECONDS)
            status = reply.status
            complete = await reply.read(_MOST_REPLY_BYTES, lambda _: None)
        except TidegateError:
            return None
        finally:
            self._metrics.called(model.name, arm.revision, status, monotonic() - began)
        return complete.body if complete.ok else None

    def _ended(self, task: asyncio.Task[None], size: int) -> None:
        self._tasks.discard(task)
        self._bytes -= size


def _copied(headers: RawHeaders) -> RawHeaders:
    """The headers of a copy: an override names a revision for the caller, and a compressed reply cannot be compared."""
    kept = [(name, value) for name, value in headers if name not in (REVISION, b"accept-encoding")]
    return [*kept, (SHADOW, b"1")]
