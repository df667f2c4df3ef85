"""Outputs and dead letters, from their records to the broker's acknowledgment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from eventing.kafka.port import Delivery, Producer
from functions.stream.metrics import Metrics
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.sender import Sender, refused
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics

# While a broker is away for long the client must not give up on a record, or its successors would be written before it.
NEVER_GIVE_UP_SECONDS = (2**31 - 1) / 1000


class ResultWriter(Protocol):
    """Takes results in the order in which they are to be written, and sees to it that their records get finished.

    All methods run on the event loop's thread.
    """

    @property
    def has_room(self) -> bool:
        """Whether more records are to be read."""
        ...

    def targets(self, partition: int) -> dict[str, int]:
        """Return each topic's partition for an input partition."""
        ...

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Take results. Raises WriteFailed."""
        ...

    def holds(self, partition: int) -> bool:
        """Return whether an output for this input partition is not acknowledged yet."""
        ...

    def posts(self, partition: int) -> bool:
        """Return whether a reply to this input partition is in a call, or waits for one."""
        ...

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        """Wait until nothing is under way for these input partitions, also of earlier assignments.

        False after the time-out.
        """
        ...

    def drop(self, partitions: Collection[int]) -> None:
        """Give up what is not on its way yet: the partitions may have another owner."""
        ...

    async def close(self) -> None:
        """Start nothing more."""
        ...


class Writer:
    """Writes the results of each partition in their order, at least once.

    Records of one partition are acknowledged in the order in which they were sent, so the last one stands for all:
    there is one callback for each group and topic, where one for each record would cost as much as sending it.
    """

    has_room = True  # a partition is paused while it has too many unfinished records

    def __init__(
        self,
        producer: Producer,
        settings: StreamSettings,
        topics: Topics,
        failed: Callable[[Exception], None],
        metrics: Metrics | None = None,
    ) -> None:
        self._producer = producer
        # The tracker returns each record once: only another worker can take one up again that is refused.
        self._sender = Sender(settings, topics, refused)
        self._failed = failed
        self._metrics = metrics or Metrics()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], PartitionTracker] = {}

    def targets(self, partition: int) -> dict[str, int]:
        """Return each topic's partition for an input partition."""
        return self._sender.targets(partition)

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Send the results of these records, which are finished once the broker has acknowledged them."""
        sent: dict[str, list[PendingRecord]] = {}
        started = time.perf_counter()
        targets = self.targets(tracker.partition)
        for pending in records:
            topic, pending.delivery = self._sender.send(self._producer, pending, targets)
            sent.setdefault(topic, []).append(pending)
        for topic, group in sent.items():
            acknowledged = self._loop.create_future()
            self._waiting[acknowledged] = tracker
            acknowledged.add_done_callback(lambda _: self._metrics.took("write", time.perf_counter() - started))
            if (last := group[-1].delivery) is not None:
                last.add_done_callback(partial(self._notify, acknowledged, topic, group))

    def holds(self, partition: int) -> bool:
        return any(tracker.partition == partition for tracker in self._waiting.values())

    def posts(self, partition: int) -> bool:
        return False

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        waiting = [acknowledged for acknowledged, tracker in self._waiting.items() if tracker.partition in partitions]
        if not waiting:
            return True
        _, late = await asyncio.wait(waiting, timeout=timeout_seconds)
        return not late

    def drop(self, partitions: Collection[int]) -> None:
        """Do nothing: all is on its way."""

    async def close(self) -> None:
        """Do nothing: the producer is another's, and writes what it was given."""

    def _notify(self, acknowledged: asyncio.Future[None], topic: str, group: list[PendingRecord], _: Delivery) -> None:
        """Run on the producer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._acknowledge, acknowledged, topic, group)
        except RuntimeError:
            return  # the loop is closed: the worker has stopped without waiting for this

    def _acknowledge(self, acknowledged: asyncio.Future[None], topic: str, group: list[PendingRecord]) -> None:
        tracker = self._waiting.pop(acknowledged)
        last = -1
        for number, pending in enumerate(group):
            delivery = pending.delivery
            if delivery is None or (offset := delivery.offset) is None:
                self._failed(refused(topic, None if delivery is None else delivery.error))
                group = group[:number]
                break
            last = max(last, offset)
        tracker.acknowledge(topic, self.targets(tracker.partition)[topic], last)
        tracker.finish(group)
        acknowledged.set_result(None)
