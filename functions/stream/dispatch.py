"""Calls to the sink: events in micro-batches, a bounded number of calls at a time, and retries of what failed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import chain
from typing import Any, Protocol

from common.delivery import backoff
from eventing.deadletter import Rejection
from eventing.reply import Problem
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.report import LogThrottle, logger
from functions.stream.settings import StreamSettings
from functions.stream.sink import Disposition, Failure, Success, classify

_Tasks = dict[asyncio.Task[None], list[PendingRecord]]


class Poster(Protocol):
    """The part of a sink that a dispatcher uses."""

    async def post(self, events: list[bytes]) -> Success | Failure: ...


class SinkDispatcher:
    """Turns events into results, between `start` and `stop`.

    Batches have no timer: a free call takes what has arrived.
    """

    def __init__(
        self,
        sink: Poster,
        settings: StreamSettings,
        *,
        resolved: Callable[[PartitionTracker], None],
        failed: Callable[[BaseException], None],
        retried: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._sink = sink
        self._settings = settings
        self._resolved = resolved
        self._failed = failed
        self._retried = retried
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[PendingRecord] = deque()
        self._arrived = asyncio.Event()
        self._free = asyncio.Semaphore(settings.in_flight)
        self._calling: _Tasks = {}
        self._waiting: _Tasks = {}
        self._stopping = False
        self._log_throttle = LogThrottle()

    def start(self) -> None:
        self._start_task(self._waiting, self._form_batches(), [])

    def add(self, records: Iterable[PendingRecord]) -> None:
        """Queue records that have an event."""
        self._backlog.extend(records)
        if self._backlog:
            self._arrived.set()

    def holds(self, tracker: PartitionTracker) -> bool:
        """Return whether a record of this partition is in an open call, or waits for a retry or a free call."""
        held = chain.from_iterable(chain(self._calling.values(), self._waiting.values(), [self._backlog] if self._calling else []))
        return any(pending.tracker is tracker for pending in held)

    async def stop(self, timeout_seconds: float) -> None:
        """Start no more calls, and cancel the open ones after the time-out."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()
        if self._calling:
            _, late = await asyncio.wait(self._calling, timeout=timeout_seconds)
            for task in late:
                task.cancel()

    async def _form_batches(self) -> None:
        while True:
            await self._arrived.wait()
            await self._free.acquire()
            batch = [self._backlog.popleft() for _ in range(min(len(self._backlog), self._settings.batch_size))]
            if not self._backlog:
                self._arrived.clear()
            self._start_task(self._calling, self._call(batch), batch)

    async def _call_again(self, records: list[PendingRecord], wait_seconds: float) -> None:
        await asyncio.sleep(wait_seconds)
        await self._free.acquire()
        self._retried(len(records))
        self._start_task(self._calling, self._call(records), records)

    async def _call(self, records: list[PendingRecord]) -> None:
        """Make one call and release its place, which the caller has acquired."""
        try:
            records = [pending for pending in records if not pending.tracker.closed]
            events = [pending.event for pending in records if pending.event is not None]
            outcome = await self._sink.post(events) if records else Success([])
        finally:
            self._free.release()
        for pending in records:
            pending.attempts += 1
        dispositions = classify(outcome, len(records))
        if dispositions is None:
            self._divide(records, 0.0)
        else:
            retry_after = outcome.retry_after if isinstance(outcome, Failure) else 0.0
            self._settle(records, dispositions, min(retry_after, self._settings.retry_seconds))

    def _settle(self, records: list[PendingRecord], dispositions: list[Disposition], retry_after: float) -> None:
        now = self._loop.time()
        retried: list[PendingRecord] = []
        late = False
        for pending, disposition in zip(records, dispositions, strict=True):
            expired = now >= self._deadline(pending, now)
            if disposition.problem is None:
                pending.result = disposition.event
            elif disposition.retry and (len(records) > 1 or not expired):
                retried.append(pending)
                late |= expired
            else:
                pending.result = Rejection(self._with_model(disposition.problem), pending.attempts)
        for tracker in {pending.tracker for pending in records}:
            self._resolved(tracker)
        if late:
            # One event may have failed its neighbors: each is given up only after it has failed alone.
            self._divide(retried, retry_after)
        elif retried:
            self._log_retry(retried, dispositions)
            self._retry(retried, max(retry_after, backoff(retried[0].attempts)))

    def _divide(self, records: list[PendingRecord], wait_seconds: float) -> None:
        half = len(records) // 2
        for part in (records[:half], records[half:]):
            if part:
                self._retry(part, wait_seconds)

    def _retry(self, records: list[PendingRecord], wait_seconds: float) -> None:
        if not self._stopping:
            self._start_task(self._waiting, self._call_again(records, wait_seconds), records)

    def _deadline(self, pending: PendingRecord, now: float) -> float:
        if pending.deadline is None:
            pending.deadline = now + self._settings.retry_seconds
        return pending.deadline

    def _with_model(self, problem: Problem) -> Problem:
        return Problem(problem.status, problem.title, problem.detail, {"model": self._settings.model, **problem.extensions})

    def _log_retry(self, retried: list[PendingRecord], dispositions: list[Disposition]) -> None:
        problem = next(found.problem for found in dispositions if found.problem is not None and found.retry)
        if self._log_throttle(problem.title):
            logger.warning(
                "%s; retrying %d events, for at most %.0f s", problem.detail.rstrip("."), len(retried), self._settings.retry_seconds
            )

    def _start_task(self, tasks: _Tasks, coroutine: Coroutine[Any, Any, None], records: list[PendingRecord]) -> None:
        task = self._loop.create_task(coroutine)
        tasks[task] = records
        task.add_done_callback(tasks.pop)
        task.add_done_callback(self._report_failure)

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
