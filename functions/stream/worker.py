"""The stream worker: its rounds poll, dispatch, write and commit; every decision is in the modules beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from common.errors import InvalidEvent
from common.redaction import redact_url
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster, ConsumedRecord, Producer
from eventing.reply import Problem
from functions.stream import guard
from functions.stream.assignment import Assignment
from functions.stream.commit import CheckpointCommits, CommitStrategy, TransactionCommits
from functions.stream.dispatch import SinkDispatcher
from functions.stream.guard import Guard
from functions.stream.health import Health
from functions.stream.input import Input
from functions.stream.intake import Decoded, Intake
from functions.stream.observation import MeasuredSink, Observation, statuses
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.replies import Replies, ReplyPoster
from functions.stream.report import LogThrottle, Summary, Tally, logger
from functions.stream.schemas import Schemas
from functions.stream.sender import WriteFailed
from functions.stream.settings import Guarantee, StreamSettings
from functions.stream.sink import Sink
from functions.stream.stall import Holder, PartitionState, StallDetector, Stalled, WorkerState
from functions.stream.topics import Topics
from functions.stream.transactions import MakeProducer, Transactions
from functions.stream.writer import ResultWriter, Writer

_POLL_SECONDS = 0.1
# While a partition is paused a poll may sleep for its whole time, and a resume has to wait for it.
_POLL_SECONDS_PAUSED = 0.02
# Before the first assignment: a poll that ends just as the group's response arrives makes the client join once more,
# which takes seconds. The odd length avoids the whole seconds for which coordinators wait.
_POLL_SECONDS_JOINING = 1.3
_LAST_ROUND_SECONDS = 5.0
# After so long, a partition whose records are being retried is logged; one that no part of the worker holds is the
# guard's.
_SLOW_SECONDS = 60.0
# The share of a stop's time for the open calls; the rest is for writing and committing their results.
_SHARE_OF_CALLS = 2 / 3


class Worker:
    """One member of the group. All of its state belongs to the event loop's thread."""

    def __init__(
        self,
        cluster: Cluster,
        settings: StreamSettings,
        producer: Producer | MakeProducer,
        sink: Sink,
        topics: Topics,
        health: Health,
        schemas: Schemas | None = None,
        replies: ReplyPoster | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._health = health
        self._rounds = 0
        self._trouble = ""
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self._tally = Tally()
        self._summary = Summary(self._tally)
        self._log_throttle = LogThrottle(30.0)
        self._committed_at = 0.0
        metrics = self._metrics = health.metrics
        self._dispatcher = SinkDispatcher(
            MeasuredSink(sink, metrics), settings, resolved=self._write, failed=self._fail, retried=metrics.retried
        )
        self._input = Input(cluster, settings)
        self._intake = Intake(schemas)
        self._transactions: Transactions | None = None
        self._writer, self._commits = self._deliver(producer, topics, replies)
        self._assignment = Assignment(settings, self._input, self._writer, self._commits, metrics)
        self._observation = Observation(settings, self._assignment, self._input, self._intake, self._tally)
        metrics.watch(self._observation.read)
        self._guard = Guard(
            cluster,
            settings.input,
            StallDetector(guard.CHECK_SECONDS, settings.retry_seconds),
            assigned=self._input.positions,
            inspect=self._inspect,
            stalled=self._fail,
            read_committed=settings.delivery is Guarantee.EXACTLY_ONCE,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Join the group and move events until `stop` is set or something fails, then leave in order."""
        settings = self._settings
        if self._transactions is not None:
            with contextlib.suppress(KafkaError):  # the first round goes on with it
                await self._transactions.settle()
            self._transactions.start()
        await self._input.start(self._assignment)
        self._dispatcher.start()
        logger.info(
            "moving %s through %s to %s, failures to %s",
            settings.input,
            redact_url(settings.sink),
            settings.destinations,
            settings.deadletter,
        )
        rounds, checks = (asyncio.create_task(each) for each in (self._run_rounds(stop), self._guard.run()))
        over = {asyncio.create_task(event.wait()) for event in (stop, self._failed)}
        for task in (rounds, checks):
            task.add_done_callback(self._report_failure)
        try:
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            # A round that hangs is left behind.
            await asyncio.wait({rounds}, timeout=_LAST_ROUND_SECONDS)
        finally:
            for each in (rounds, checks, *over):
                each.cancel()
            await asyncio.wait({rounds, checks}, timeout=_LAST_ROUND_SECONDS)
            await self._stop()
        if self._failure is not None:
            raise self._failure

    def _deliver(
        self, producer: Producer | MakeProducer, topics: Topics, replies: ReplyPoster | None
    ) -> tuple[ResultWriter, CommitStrategy]:
        """Return what writes the results, and what commits the offsets. Transactions do both, by producers of their own."""
        cluster, settings = self._cluster, self._settings
        if not callable(producer):
            writer: ResultWriter = Writer(producer, settings, topics, self._fail, self._metrics)
            if replies is not None and settings.reply is not None:
                writer = Replies(replies, writer, settings, settings.reply, tally=self._tally, failed=self._fail)
            return writer, CheckpointCommits(cluster, settings, self._input, writer.targets)
        self._transactions = Transactions(
            producer,
            settings,
            topics,
            member=lambda: self._input.member,
            retake=lambda: self._assignment.retake(),
            failed=self._fail,
            count=self._count,
            metrics=self._metrics,
        )
        return self._transactions, TransactionCommits(cluster, settings, self._input, self._transactions)

    async def _run_rounds(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and self._failure is None:
            await self._try_round()
            self._rounds += 1

    async def _try_round(self) -> None:
        try:
            await self._round()
        except KafkaError as error:
            self._trouble = str(error).rstrip(".")
            self._health.unready = f"Kafka: {self._trouble}."
            if self._log_throttle("broker"):
                logger.warning("Kafka: %s; retrying", self._trouble)
            await asyncio.sleep(0.5)
        else:
            self._trouble = ""
            waiting = f"the group {self._settings.group} has not accepted this worker yet."
            self._health.unready = self._intake.trouble if self._input.is_member else waiting

    async def _round(self) -> None:
        assignment = self._assignment
        await assignment.take_up()
        assignment.update_pauses()
        full = set() if self._writer.has_room else set(assignment.trackers)
        polling = self._input.poll(self._poll_seconds(), assignment.unread | self._intake.unread | full)
        records = await self._metrics.timed("wait", polling)
        for partition, batch in records.items():
            if partition in assignment.trackers:
                self._intake.add(assignment.trackers[partition], batch)
        for tracker, decoded in self._metrics.decoding(self._intake.decoded()):
            self._accept(tracker, decoded)
        for tracker in assignment.trackers.values():
            if tracker.is_held:
                self._write(tracker)
        if time.monotonic() - self._committed_at >= self._settings.commit_seconds:
            self._committed_at = time.monotonic()
            await self._metrics.timed("commit", self._commits.commit(list(assignment.trackers.values())))
        if self._summary.due():
            await self._report()

    def _poll_seconds(self) -> float:
        if self._assignment.is_empty:
            return _POLL_SECONDS_JOINING
        is_paused = self._assignment.paused or self._intake.unread or not self._writer.has_room
        return _POLL_SECONDS_PAUSED if is_paused else _POLL_SECONDS

    def _accept(self, tracker: PartitionTracker, records: Sequence[tuple[ConsumedRecord, Decoded]]) -> None:
        if not len(tracker):
            tracker.moved_at = time.monotonic()
        resolved: list[PendingRecord] = []
        posted: list[PendingRecord] = []
        for record, decoded in records:
            if decoded is None:
                tracker.pass_over(record)
                self._tally.passed_over += 1
            elif (pending := tracker.add(record)) is None:
                self._tally.skipped += 1
            elif isinstance(decoded, InvalidEvent):
                pending.result = Rejection(Problem(400, "invalid event", str(decoded), {"model": self._settings.model}), 0)
                resolved.append(pending)
            else:
                pending.event = decoded
                if not pending.waits:
                    posted.append(pending)
        self._dispatcher.add(posted)
        self._write(tracker, resolved)

    def _write(self, tracker: PartitionTracker, resolved: Sequence[PendingRecord] = ()) -> None:
        """Write the results that may be written now that these records have theirs, and post those that waited."""
        turn = tracker.take(resolved)
        self._dispatcher.add(turn.posted)
        if not turn.written:
            return
        try:
            self._writer.write(tracker, turn.written)
        except WriteFailed as error:
            self._fail(error)
        else:
            if self._transactions is None:
                self._count(turn.written)

    def _count(self, written: Sequence[PendingRecord]) -> None:
        scored = sum(isinstance(pending.result, Event) for pending in written)
        self._tally.scored += scored
        self._tally.dead_lettered += len(written) - scored
        if scored < len(written):
            self._metrics.dead_lettered(statuses(written))

    async def _report(self) -> None:
        positions = {number: tracker.position for number, tracker in self._assignment.trackers.items()}
        self._summary.log(await self._input.behind(positions))
        await self._input.report_gaps()
        for number, tracker in self._assignment.trackers.items():
            seconds = time.monotonic() - tracker.moved_at
            if len(tracker) and seconds > _SLOW_SECONDS and self._log_throttle(f"slow {number}"):
                logger.warning(
                    "partition %d of %s has been at offset %d for %.0f s", number, self._settings.input, tracker.position, seconds
                )
        # A client whose broker is gone, or no longer accepts it, polls in vain without an error.
        await asyncio.to_thread(self._cluster.check_access)

    async def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.stop_seconds
        await self._dispatcher.stop(self._settings.stop_seconds * _SHARE_OF_CALLS)
        try:
            # Leaving the group calls `released`, and commits what it returns.
            await self._input.close(until - loop.time())
        except (KafkaError, TimeoutError) as error:
            logger.warning("leaving the group %s failed (%r); nothing is lost by that", self._settings.group, error)
        await self._writer.close()
        tally = self._tally
        tombstones = f"; {tally.passed_over} tombstones were passed over" if tally.passed_over else ""
        logger.info("stopped after %d scored and %d dead-lettered events%s", tally.scored, tally.dead_lettered, tombstones)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Stalled):
            self._health.dead = str(error)
        self._failure = self._failure or error
        self._failed.set()

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    # For the guard.

    def _inspect(self, ends: guard.Ends) -> WorkerState:
        self._observation.note(ends)
        settings, ends = self._settings, ends or {}
        return WorkerState(
            topic=settings.input,
            group=settings.group,
            rounds=self._rounds + self._assignment.taken_up,  # the recovery of several partitions can take long
            is_member=self._input.is_member,
            ends_known=bool(ends),
            partitions={
                number: self._inspect_partition(number, fetched, ends.get(number)) for number, fetched in self._input.positions().items()
            },
            trouble=self._trouble,
        )

    def _inspect_partition(self, number: int, fetched: int | None, end: int | None) -> PartitionState:
        tracker = self._assignment.trackers.get(number)
        if tracker is not None and (self._intake.holds(tracker) or self._dispatcher.holds(tracker) or self._writer.posts(number)):
            holder = Holder.CALLS
        elif self._writer.holds(number) or (tracker is None and self._commits.recovering):
            holder = Holder.WRITES
        else:
            holder = Holder.NONE
        finished, unfinished = (None, 0) if tracker is None else (tracker.position, len(tracker))
        return PartitionState(fetched=fetched, finished=finished, end=end, unfinished=unfinished, holder=holder)
