"""Exactly-once: results, dead letters and offsets in one transaction a cycle, while the next results gather.

A transaction covers no call to the sink: it begins once results have arrived. One that is not committed is done again
from what is committed, which is all or nothing of it; the model's answer to an event is the same.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain

from common.delivery import backoff
from eventing.event import Event
from eventing.kafka.errors import KafkaError, TransactionAbortable
from eventing.kafka.port import GroupMetadata, TopicPartition, TransactionalProducer
from functions.stream.cycle import Batch, Consequence, Cycle, Dropped, consequence, sentence
from functions.stream.metrics import Metrics
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.report import LogThrottle, logger
from functions.stream.sender import Sender, refused
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics

MakeProducer = Callable[[], TransactionalProducer]

_CLOSE_SECONDS = 5.0
# For a producer that has failed: its successor ends its transaction, and partitions wait for that.
_GIVE_UP_SECONDS = 1.0
# For a request whose transaction has no time left: it may have its answer already.
_LEAST_SECONDS = 0.05
# Two workers with one transactional id would fence each other without end.
_LONGEST_PAUSE_SECONDS = 5.0


class Transactions:
    """The `ResultWriter` of exactly-once delivery, between `start` and `close`.

    Its state belongs to the event loop's thread; the producer is used on a thread of its own only.
    """

    def __init__(
        self,
        make: MakeProducer,
        settings: StreamSettings,
        topics: Topics,
        *,
        member: Callable[[], GroupMetadata | None],
        retake: Callable[[], None],
        failed: Callable[[Exception], None],
        count: Callable[[Sequence[PendingRecord]], None] = lambda _: None,
        metrics: Metrics | None = None,
    ) -> None:
        self._make = make
        self._settings = settings
        self._sender = Sender(settings, topics)
        self._member = member
        self._retake = retake
        self._failed = failed
        self._count = count
        self._metrics = metrics or Metrics()
        self._loop = asyncio.get_running_loop()
        self._cycle = Cycle(2 * settings.backlog)
        self._gathered = asyncio.Event()
        self._hurried = asyncio.Event()
        self._ended = asyncio.Condition()
        self._dropped = threading.Event()
        self._began_at = 0.0
        self._failures = 0
        self._log_throttle = LogThrottle()
        self._thread = ThreadPoolExecutor(1, "tidegate-transactions")
        self._producer: TransactionalProducer | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._report_failure)

    async def close(self) -> None:
        """Abort what is open, and end the producer."""
        if self._task is not None:
            self._dropped.set()
            self._task.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._loop.run_in_executor(self._thread, self._end), 2 * _CLOSE_SECONDS)
        self._thread.shutdown(wait=False)

    async def settle(self) -> None:
        """Let the transactions of earlier producers be ended: what is committed is final then. Raises KafkaError."""
        await self._loop.run_in_executor(self._thread, self._connected)

    # The outputs.

    @property
    def has_room(self) -> bool:
        return self._cycle.has_room

    def targets(self, partition: int) -> dict[str, int]:
        return self._sender.targets(partition)

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        self._cycle.gather(tracker, records)
        self._gathered.set()

    def holds(self, partition: int) -> bool:
        return self._cycle.holds(partition)

    def posts(self, partition: int) -> bool:
        return False

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        self._hurried.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._ended:
                await self._ended.wait_for(lambda: not self._holds_any(partitions))
        return not self._holds_any(partitions)

    def drop(self, partitions: Collection[int]) -> None:
        if self._cycle.drop(partitions):
            self._dropped.set()

    def _holds_any(self, partitions: set[int]) -> bool:
        return any(map(self._cycle.holds, partitions))

    # The cycle, on the event loop.

    async def _run(self) -> None:
        while True:
            await self._gathered.wait()
            with suppress(TimeoutError):
                left = self._began_at + self._settings.transaction_seconds - time.monotonic()
                await asyncio.wait_for(self._hurried.wait(), max(0.0, left))
            self._hurried.clear()
            self._gathered.clear()
            if self._cycle.has_next:
                await self._write_next()
            async with self._ended:
                self._ended.notify_all()
            if self._failures:
                await asyncio.sleep(backoff(self._failures, longest=_LONGEST_PAUSE_SECONDS))

    async def _write_next(self) -> None:
        self._began_at = time.monotonic()
        batch = self._cycle.begin()
        self._dropped.clear()
        try:
            if batch.results:
                await self._metrics.timed("write", self._loop.run_in_executor(self._thread, self._write, batch, self._member()))
        except Exception as error:  # noqa: BLE001 one that is not expected ends the worker
            self._give_up(error)
        else:
            self._cycle.end(committed=True)
            self._failures = 0
            for tracker, records in batch.results.items():
                tracker.moved_at = time.monotonic()
                self._count(records)

    def _give_up(self, error: Exception) -> None:
        self._cycle.end(committed=False)
        self._failures += 1
        self._retake()
        if consequence(error) is Consequence.END:
            self._failed(error)
        elif not isinstance(error, Dropped) and self._log_throttle(type(error).__name__):
            logger.warning("%s", sentence(error, self._settings.group))

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failed(error)

    # The transaction, on the producer's thread.

    def _connected(self) -> TransactionalProducer:
        if self._producer is None:
            self._producer = self._make()
        return self._producer

    def _write(self, batch: Batch, member: GroupMetadata | None) -> None:
        producer = self._connected()
        try:
            producer.begin()
            self._write_in(producer, batch, member)
        except Exception as error:
            self._clean_up(producer, error)
            raise self._named(batch, error) from error

    def _write_in(self, producer: TransactionalProducer, batch: Batch, member: GroupMetadata | None) -> None:
        # In all: a transaction that is open for longer, the broker aborts.
        until = time.monotonic() + self._settings.transaction_timeout_seconds

        def left() -> float:
            return max(_LEAST_SECONDS, until - time.monotonic())

        for tracker, records in batch.results.items():
            self._check_dropped()
            targets = self.targets(tracker.partition)
            for pending in records:
                _, pending.delivery = self._sender.send(producer, pending, targets)
        producer.flush(left())
        self._check_dropped()
        if member is None:
            raise Dropped("this worker is not a member of its group")
        offsets = {TopicPartition(self._settings.input, partition): offset for partition, offset in batch.offsets.items()}
        producer.send_offsets(offsets, member, left())
        self._check_dropped()
        producer.commit(left())

    def _named(self, batch: Batch, error: Exception) -> Exception:
        """Return the error with the topic of the record that was refused, if one was refused for good."""
        if isinstance(error, TransactionAbortable) and consequence(error) is Consequence.END:
            for pending in chain.from_iterable(batch.results.values()):
                if pending.delivery is not None and pending.delivery.error is not None:
                    is_output = isinstance(pending.result, Event)
                    return refused(self._settings.output if is_output else self._settings.deadletter, error.reason)
        return error

    def _check_dropped(self) -> None:
        if self._dropped.is_set():
            raise Dropped("the partitions of the transaction were lost")

    def _clean_up(self, producer: TransactionalProducer, error: Exception) -> None:
        if consequence(error) is Consequence.GO_ON:
            try:
                producer.abort(self._settings.transaction_timeout_seconds)
            except KafkaError:
                self._end(_GIVE_UP_SECONDS)
        else:
            self._end(_GIVE_UP_SECONDS)

    def _end(self, timeout_seconds: float = _CLOSE_SECONDS) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout_seconds)
