"""Replies on their way to the reply sink: one call at a time for each key, and many keys at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol

from common.delivery import Outcome, backoff, outcome_of
from common.errors import InvalidEvent
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.reply import Problem
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.reply_sink import Accepted
from functions.stream.report import LogThrottle, Tally, logger
from functions.stream.sender import WriteFailed
from functions.stream.settings import ReplySettings, StreamSettings
from functions.stream.sink import Failure
from functions.stream.writer import ResultWriter


class ReplyPoster(Protocol):
    """The part of a reply sink that is used here."""

    url: str

    async def post(self, replies: Sequence[Event]) -> Accepted | Failure: ...


class _Reply:
    """A reply that the sink has neither accepted nor refused."""

    __slots__ = ("attempts", "deadline", "lane", "pending")

    def __init__(self, pending: PendingRecord, lane: Hashable) -> None:
        self.pending = pending
        self.lane = lane
        self.attempts = 0
        self.deadline: float | None = None


class Replies:
    """Posts replies before a writer writes the results: those that were accepted, and the dead letters of the refused ones.

    In this order, since a worker takes what is in the output topic for finished. A reply whose worker is killed between
    its post and the commit is posted again, with the same id.
    """

    def __init__(
        self,
        sink: ReplyPoster,
        writer: ResultWriter,
        settings: StreamSettings,
        limits: ReplySettings,
        *,
        tally: Tally,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._sink = sink
        self._writer = writer
        self._settings = settings
        self._limits = limits
        self._tally = tally
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._unkeyed = itertools.count()
        # How many replies of each partition are not settled.
        self._unsettled: dict[PartitionTracker, int] = {}
        # By key: what is not in a call. A lane exists while one of its replies is in a call or waits for one.
        self._lanes: dict[Hashable, deque[_Reply]] = {}
        self._ready: deque[Hashable] = deque()
        self._posting: dict[asyncio.Future[None], list[_Reply]] = {}
        self._again: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
        self._closed = False
        self._log_throttle = LogThrottle()

    @property
    def has_room(self) -> bool:
        return self._writer.has_room

    def targets(self, partition: int) -> dict[str, int]:
        return self._writer.targets(partition)

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Post the replies among these results, those of a lane in the order given, and write the others.

        Raises WriteFailed.
        """
        replies = [pending for pending in records if isinstance(pending.result, Event)]
        if len(replies) < len(records):
            self._writer.write(tracker, [pending for pending in records if not isinstance(pending.result, Event)])
        if replies:
            self._unsettled[tracker] = self._unsettled.get(tracker, 0) + len(replies)
        for pending in replies:
            lane = next(self._unkeyed) if pending.lane is None else pending.lane
            self._enqueue(_Reply(pending, (tracker, lane)))
        self._fill()

    def holds(self, partition: int) -> bool:
        return self._writer.holds(partition)

    def posts(self, partition: int) -> bool:
        """Return whether a reply of this input partition is in a call or waits for one."""
        return any(tracker.partition == partition for tracker in self._unsettled)

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        """Wait for the open calls and the writes of these input partitions; False after the time-out.

        Of a closed partition, no more calls are made, and what was not posted until then is dropped.
        """
        until = self._loop.time() + timeout_seconds
        calls = [call for call, replies in self._posting.items() if any(each.pending.tracker.partition in partitions for each in replies)]
        late: set[asyncio.Future[None]] = set()
        if calls:
            _, late = await asyncio.wait(calls, timeout=timeout_seconds)
        for tracker in [each for each in self._unsettled if each.closed and each.partition in partitions]:
            del self._unsettled[tracker]
        return await self._writer.drain(partitions, max(0.0, until - self._loop.time())) and not late

    def drop(self, partitions: Collection[int]) -> None:
        self._writer.drop(partitions)

    async def close(self) -> None:
        """Make no more calls, and cancel the open ones."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await self._writer.close()

    def _enqueue(self, reply: _Reply) -> None:
        if reply.lane in self._lanes:
            self._lanes[reply.lane].append(reply)
        else:
            self._lanes[reply.lane] = deque([reply])
            self._ready.append(reply.lane)

    def _fill(self) -> None:
        """Use the free calls: for replies that are tried again, then for the lanes that have waited longest."""
        while not self._closed and self._open < self._limits.in_flight:
            if self._again:
                if not (waiting := self._again.popleft()).done():
                    self._open += 1
                    waiting.set_result(None)
            elif self._ready:
                self._open += 1
                replies, lanes = self._next_replies()
                task = self._loop.create_task(self._deliver(replies, lanes))
                self._tasks.add(task)
                task.add_done_callback(self._end)
            else:
                return

    def _next_replies(self) -> tuple[list[_Reply], list[Hashable]]:
        replies: list[_Reply] = []
        lanes: list[Hashable] = []
        while self._ready and len(replies) < self._limits.batch_size:
            lane = self._ready.popleft()
            waiting = self._lanes[lane]
            lanes.append(lane)
            replies += [waiting.popleft() for _ in range(min(len(waiting), self._limits.batch_size - len(replies)))]
        return replies, lanes

    async def _deliver(self, replies: list[_Reply], lanes: list[Hashable]) -> None:
        """Settle replies in their order, then free their lanes. The caller has counted the call."""
        try:
            await self._settle(replies)
        finally:
            self._open -= 1
            for lane in lanes:
                if self._lanes[lane]:
                    self._ready.append(lane)
                else:
                    del self._lanes[lane]
            self._fill()

    async def _settle(self, replies: list[_Reply]) -> None:
        while replies := [reply for reply in replies if not reply.pending.tracker.closed]:
            outcome = await self._post(replies)
            if isinstance(outcome, Accepted):
                self._accept(replies)
                return
            problem = outcome.problem
            for reply in replies:
                reply.attempts += 1
            if outcome_of(problem.status) is not Outcome.DEAD_LETTER and not self._is_late(replies):
                await self._wait(replies, outcome)
            elif len(replies) == 1:
                self._refuse(replies[0], problem)
                return
            else:
                # One of them may have failed the others: each is given up only after it has failed alone.
                half = len(replies) // 2
                await self._settle(replies[:half])
                replies = replies[half:]

    async def _post(self, replies: list[_Reply]) -> Accepted | Failure:
        call = self._loop.create_future()
        self._posting[call] = replies
        try:
            return await self._sink.post([reply.pending.result for reply in replies if isinstance(reply.pending.result, Event)])
        except InvalidEvent as error:
            return Failure(Problem(422, "bad answer", f"the sink's reply cannot be posted: {error}"))
        finally:
            # After those who await this call's coroutine have settled its replies.
            self._loop.call_soon(self._end_call, call)

    def _end_call(self, call: asyncio.Future[None]) -> None:
        del self._posting[call]
        if not call.done():
            call.set_result(None)

    def _is_late(self, replies: list[_Reply]) -> bool:
        now, late = self._loop.time(), False
        for reply in replies:
            if reply.deadline is None:
                reply.deadline = now + self._settings.retry_seconds
            late |= now >= reply.deadline
        return late

    async def _wait(self, replies: list[_Reply], failure: Failure) -> None:
        """Wait for the next attempt; the call is free for others meanwhile."""
        if self._log_throttle(failure.problem.title):
            detail, seconds = failure.problem.detail.rstrip("."), self._settings.retry_seconds
            logger.warning("%s; retrying %d replies, for at most %.0f s", detail, len(replies), seconds)
        self._open -= 1
        self._fill()
        await asyncio.sleep(max(backoff(replies[0].attempts), min(failure.retry_after, self._settings.retry_seconds)))
        waiting = self._loop.create_future()
        self._again.append(waiting)
        self._fill()
        await waiting

    def _accept(self, replies: list[_Reply]) -> None:
        accepted: dict[PartitionTracker, list[PendingRecord]] = {}
        for reply in replies:
            accepted.setdefault(reply.pending.tracker, []).append(reply.pending)
        for tracker, records in accepted.items():
            self._pass_on(tracker, records)

    def _refuse(self, reply: _Reply, problem: Problem) -> None:
        extensions = {"model": self._settings.model, **problem.extensions}
        problem = Problem(problem.status, problem.title, problem.detail, extensions)
        reply.pending.result = Rejection(problem, reply.attempts, destination=self._limits.url)
        self._tally.refused += 1
        if self._log_throttle("refused"):
            logger.warning("%s; the event becomes a dead letter", problem.detail.rstrip("."))
        self._pass_on(reply.pending.tracker, [reply.pending])

    def _pass_on(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Give settled results to the writer; accepted replies are finished if there is no topic for them."""
        if tracker not in self._unsettled:
            return  # given up meanwhile: its next owner does this again
        self._unsettled[tracker] -= len(records)
        if not self._unsettled[tracker]:
            del self._unsettled[tracker]
        written = [pending for pending in records if self._settings.output or isinstance(pending.result, Rejection)]
        if written:
            try:
                self._writer.write(tracker, written)
            except WriteFailed as error:
                self._failed(error)
        else:
            tracker.finish(records)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
