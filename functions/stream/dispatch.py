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
from functions.stream.admission import Admission
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.report import LogThrottle, logger
from functions.stream.settings import StreamSettings
from functions.stream.sink import Disposition, Failure, Success, classify

# A call that fails as a whole is divided, to find the event that fails it, after so many attempts: statuses that the
# function itself answers, and those of a function that is away or overloaded, as one is that an event has ended.
_FAULTS = frozenset({500, 502})
_ATTEMPTS = 2
_ATTEMPTS_AWAY = 5
_PART = -1

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
        resolved: Callable[[PartitionTracker, list[PendingRecord]], None],
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
        self._admission = Admission(settings.in_flight, settings.most_in_flight)
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
            await self._admission.enter()
            batch = [self._backlog.popleft() for _ in range(min(len(self._backlog), self._settings.batch_size))]
            if not self._backlog:
                self._arrived.clear()
            self._start_task(self._calling, self._call(batch), batch)

    async def _call_again(self, records: list[PendingRecord], wait_seconds: float, answered: int) -> None:
        await asyncio.sleep(wait_seconds)
        # An event is given up only after it has failed alone, for which those of a whole batch are not to wait.
        is_last = any(pending.deadline is not None and pending.deadline <= self._loop.time() for pending in records)
        await self._admission.enter(paused=not is_last)
        self._retried(len(records))
        self._start_task(self._calling, self._call(records, answered), records)

    async def _call(self, records: list[PendingRecord], answered: int | None = None) -> None:
        """Make one call and leave the admission, which the caller has entered.

        `answered` is how many calls had been answered when these records failed before; less if they are parts of a
        batch that was divided.
        """
        try:
            records = [pending for pending in records if not pending.tracker.closed]
            events = [pending.event for pending in records if pending.event is not None]
            outcome = await self._sink.post(events) if records else None
        finally:
            self._admission.leave()
        if outcome is None:
            return
        for pending in records:
            pending.attempts += 1
        dispositions = classify(outcome, len(records))
        retry_after = outcome.retry_after if isinstance(outcome, Failure) else 0.0
        self._observe(records, dispositions, retry_after)
        if dispositions is None or (isinstance(outcome, Failure) and self._is_suspect(records, outcome.problem.status, answered)):
            self._divide(records, 0.0)
        else:
            self._settle(records, dispositions, min(retry_after, self._settings.retry_seconds), is_part=answered == _PART)

    def _observe(self, records: list[PendingRecord], dispositions: list[Disposition] | None, retry_after: float) -> None:
        """Let the admission know how the sink does."""
        failed = [found.problem for found in dispositions or () if found.retry and found.problem is not None]
        if len(failed) < len(records):
            self._admission.succeeded(len(records) - len(failed))
        elif self._admission.is_away or any(pending.attempts == 1 for pending in records):
            self._admission.failed(failed[0].status, retry_after)
        # Otherwise all of them have failed before, which says nothing of other events.

    def _is_suspect(self, records: list[PendingRecord], status: int, answered: int | None) -> bool:
        """Return whether one of these records may be what fails their call: the sink answers others meanwhile."""
        enough = _ATTEMPTS if status in _FAULTS else _ATTEMPTS_AWAY
        if len(records) == 1 or records[0].attempts < enough:
            return False
        # The task that forms batches is always among those that wait.
        if len(self._calling) == len(self._waiting) == 1 and not self._backlog:
            return True
        return answered is not None and self._admission.answered > answered and not self._admission.is_away

    def _settle(self, records: list[PendingRecord], dispositions: list[Disposition], retry_after: float, *, is_part: bool) -> None:
        now = self._loop.time()
        retried: list[PendingRecord] = []
        resolved: dict[PartitionTracker, list[PendingRecord]] = {}
        late = False
        for pending, disposition in zip(records, dispositions, strict=True):
            expired = now >= self._deadline(pending, now)
            if disposition.problem is None:
                pending.result = disposition.event
            elif disposition.retry and (len(records) > 1 or not expired):
                retried.append(pending)
                late |= expired
                continue
            else:
                pending.result = Rejection(self._with_model(disposition.problem), pending.attempts)
            resolved.setdefault(pending.tracker, []).append(pending)
        for tracker, found in resolved.items():
            self._resolved(tracker, found)
        if late:
            # One event may have failed its neighbors: each is given up only after it has failed alone.
            self._divide(retried, retry_after)
        elif retried:
            self._log_retry(retried, dispositions)
            # Calls to a sink that is away have their pauses already; those that wait for it go on as soon as it answers.
            wait = 0.0 if self._admission.is_away else max(retry_after, backoff(retried[0].attempts))
            self._retry(retried, wait, is_part=is_part)

    def _divide(self, records: list[PendingRecord], wait_seconds: float) -> None:
        half = len(records) // 2
        for part in (records[:half], records[half:]):
            if part:
                self._retry(part, wait_seconds, is_part=True)

    def _retry(self, records: list[PendingRecord], wait_seconds: float, *, is_part: bool) -> None:
        if not self._stopping:
            again = self._call_again(records, wait_seconds, _PART if is_part else self._admission.answered)
            self._start_task(self._waiting, again, records)

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
