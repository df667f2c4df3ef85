"""Calls to the sink: events gathered into batches, a bounded number of calls at a time, failures tried again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import chain
from typing import Any

from common.delivery import backoff
from eventing.deadletter import Rejection
from eventing.reply import Problem
from functions.stream.partition import Lane, Slot
from functions.stream.report import Seldom, logger
from functions.stream.settings import StreamSettings
from functions.stream.sink import Sink
from functions.stream.verdict import Answered, Refused, Verdict, judge

_Tasks = dict[asyncio.Task[None], list[Slot]]


class Calls:
    """Turns events into results. There is no timer: what has come when a call becomes free goes into its batch."""

    def __init__(
        self, sink: Sink, settings: StreamSettings, resolved: Callable[[Lane], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._sink = sink
        self._settings = settings
        self._resolved = resolved
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[Slot] = deque()
        self._arrived = asyncio.Event()
        self._free = asyncio.Semaphore(settings.in_flight)
        self._calling: _Tasks = {}
        self._waiting: _Tasks = {}
        self._stopping = False
        self._may_tell = Seldom()
        self._start(self._waiting, self._gather(), [])

    def add(self, slots: Iterable[Slot]) -> None:
        self._backlog.extend(slots)
        if self._backlog:
            self._arrived.set()

    def hold(self, lane: Lane) -> bool:
        """Whether a record of the lane is in an open call, or waits for its next one, or for a place that other calls take."""
        held = chain.from_iterable(chain(self._calling.values(), self._waiting.values(), [self._backlog] if self._calling else []))
        return any(slot.lane is lane for slot in held)

    async def stop(self, timeout_seconds: float) -> None:
        """Begin no call any more, and let the open ones end, but no longer than that."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()
        if self._calling:
            _, late = await asyncio.wait(self._calling, timeout=timeout_seconds)
            for task in late:
                task.cancel()

    async def _gather(self) -> None:
        while True:
            await self._arrived.wait()
            await self._free.acquire()
            batch = [self._backlog.popleft() for _ in range(min(len(self._backlog), self._settings.batch_size))]
            if not self._backlog:
                self._arrived.clear()
            self._start(self._calling, self._call(batch), batch)

    async def _again(self, slots: list[Slot], wait_seconds: float) -> None:
        await asyncio.sleep(wait_seconds)
        await self._free.acquire()
        self._start(self._calling, self._call(slots), slots)

    async def _call(self, slots: list[Slot]) -> None:
        """One call, for which a place is held."""
        try:
            slots = [slot for slot in slots if not slot.lane.closed]
            events = [slot.event for slot in slots if slot.event is not None]
            answer = await self._sink.post(events) if slots else Answered([])
        finally:
            self._free.release()
        for slot in slots:
            slot.attempts += 1
        verdicts = judge(answer, len(slots))
        if verdicts is None:
            self._divide(slots, 0.0)
        else:
            asked = answer.retry_after if isinstance(answer, Refused) else 0.0
            self._settle(slots, verdicts, min(asked, self._settings.retry_seconds))

    def _settle(self, slots: list[Slot], verdicts: list[Verdict], retry_after: float) -> None:
        now = self._loop.time()
        again: list[Slot] = []
        late = False
        for slot, verdict in zip(slots, verdicts, strict=True):
            expired = now >= self._deadline(slot, now)
            if verdict.problem is None:
                slot.result = verdict.event
            elif verdict.retry and (len(slots) > 1 or not expired):
                again.append(slot)
                late |= expired
            else:
                slot.result = Rejection(self._with_model(verdict.problem), slot.attempts)
        for lane in {slot.lane for slot in slots}:
            self._resolved(lane)
        if late:
            # One event may have failed its neighbours: none is given up before it has failed alone.
            self._divide(again, retry_after)
        elif again:
            self._tell(again, verdicts)
            self._retry(again, max(retry_after, backoff(again[0].attempts)))

    def _divide(self, slots: list[Slot], wait_seconds: float) -> None:
        half = len(slots) // 2
        for part in (slots[:half], slots[half:]):
            if part:
                self._retry(part, wait_seconds)

    def _retry(self, slots: list[Slot], wait_seconds: float) -> None:
        if not self._stopping:
            self._start(self._waiting, self._again(slots, wait_seconds), slots)

    def _deadline(self, slot: Slot, now: float) -> float:
        if slot.deadline is None:
            slot.deadline = now + self._settings.retry_seconds
        return slot.deadline

    def _with_model(self, problem: Problem) -> Problem:
        return Problem(problem.status, problem.title, problem.detail, {"model": self._settings.model, **problem.extensions})

    def _tell(self, again: list[Slot], verdicts: list[Verdict]) -> None:
        problem = next(verdict.problem for verdict in verdicts if verdict.problem is not None and verdict.retry)
        if self._may_tell(problem.title):
            logger.warning(
                "%s; what failed (%d) is tried again, for at most %.0f s",
                problem.detail.rstrip("."),
                len(again),
                self._settings.retry_seconds,
            )

    def _start(self, tasks: _Tasks, coroutine: Coroutine[Any, Any, None], slots: list[Slot]) -> None:
        task = self._loop.create_task(coroutine)
        tasks[task] = slots
        task.add_done_callback(tasks.pop)
        task.add_done_callback(self._look_at)

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
