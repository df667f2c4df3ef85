"""Outputs and dead letters, from their records to the broker's acknowledgment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from common.errors import InvalidEvent, TidegateError
from eventing.codecs import kafka as codec
from eventing.deadletter import ORIGIN, STREAM, Rejection, origin, reduced_forms, replay_marks, to_dead_letter
from eventing.event import Event
from eventing.kafka.errors import KafkaError, NotAuthorized, RecordTooLarge
from eventing.kafka.port import Delivery, Producer
from eventing.reply import Problem
from functions.stream.metrics import Metrics
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics

# While a broker is away for long the client must not give up on a record, or its successors would be written before it.
NEVER_GIVE_UP_SECONDS = (2**31 - 1) / 1000


class WriteFailed(TidegateError):
    """The broker refused an output for good. It is not committed."""


class ResultWriter(Protocol):
    """Takes the results of each partition in order, and sees to it that their records get finished."""

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

    def close(self) -> None:
        """Start nothing more."""
        ...


class Writer:
    """Writes the results of each partition in their order; all methods run on the event loop's thread.

    Records of one partition are acknowledged in the order in which they were sent, so the last one stands for all:
    there is one callback for each group and topic, where one for each record would cost as much as sending it.
    """

    def __init__(
        self,
        producer: Producer,
        settings: StreamSettings,
        topics: Topics,
        failed: Callable[[Exception], None],
        metrics: Metrics | None = None,
    ) -> None:
        self._producer = producer
        self._settings = settings
        self._topics = topics
        self._failed = failed
        self._metrics = metrics or Metrics()
        self._stream = settings.group.encode()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], PartitionTracker] = {}

    def targets(self, partition: int) -> dict[str, int]:
        """Return each topic's partition for an input partition: its number, or modulo where there are fewer."""
        return {topic: partition % count for topic, count in self._topics.partitions.items()}

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Send the results of these records, which are finished once the broker has acknowledged them.

        Raises WriteFailed.
        """
        sent: dict[str, list[PendingRecord]] = {}
        started = time.perf_counter()
        targets = self.targets(tracker.partition)
        for pending in records:
            topic, pending.delivery = self._send(pending, targets)
            sent.setdefault(topic, []).append(pending)
        for topic, group in sent.items():
            acknowledged = self._loop.create_future()
            self._waiting[acknowledged] = tracker
            acknowledged.add_done_callback(lambda _: self._metrics.took("write", time.perf_counter() - started))
            if (last := group[-1].delivery) is not None:
                last.add_done_callback(partial(self._notify, acknowledged, topic, group))

    def holds(self, partition: int) -> bool:
        """Return whether an output for this input partition is not acknowledged yet."""
        return any(tracker.partition == partition for tracker in self._waiting.values())

    def posts(self, partition: int) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: the producer is another's, and writes what it was given."""

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        """Wait until all outputs for these input partitions are acknowledged, also of earlier assignments.

        False after the time-out.
        """
        waiting = [acknowledged for acknowledged, tracker in self._waiting.items() if tracker.partition in partitions]
        if not waiting:
            return True
        _, late = await asyncio.wait(waiting, timeout=timeout_seconds)
        return not late

    def _send(self, pending: PendingRecord, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        """Send the largest form that is accepted: the output, then its dead letter in smaller and smaller ones."""
        while True:
            try:
                return self._produce(*self._form(pending), targets)
            except RecordTooLarge:
                self._reduce(pending)
            except InvalidEvent as error:
                problem = Problem(502, "bad answer", f"the sink's reply cannot be written: {error}")
                pending.result = Rejection(problem, pending.attempts)

    def _form(self, pending: PendingRecord) -> tuple[str, codec.Message]:
        """Return the topic and message to try next. Raises InvalidEvent for a reply that cannot be written."""
        if isinstance(pending.result, Event):
            return self._settings.output, self._output(pending, pending.result)
        if pending.result is None:
            raise RuntimeError("a record without a result was given to be written.")
        if pending.letters is None:
            pending.letters = reduced_forms(
                to_dead_letter(pending.record, pending.result, stream=self._settings.group, destination=self._settings.sink)
            )
        letter = next(pending.letters, None)
        if letter is None:
            reason = f"{origin(pending.record).decode()} is too large even without its key, value and headers"
            raise _refused(self._settings.deadletter, KafkaError(reason))
        return self._settings.deadletter, letter

    def _reduce(self, pending: PendingRecord) -> None:
        """Turn a reply that is too large into a dead letter; a dead letter has its next form already."""
        if isinstance(pending.result, Event):
            detail = "the reply is larger than the broker takes; reduce what the model returns, or raise the limit."
            pending.result = Rejection(Problem(413, "too large", detail), pending.attempts)

    def _output(self, pending: PendingRecord, reply: Event) -> codec.Message:
        message = codec.encode(reply, pending.record.key)
        message.headers.append((ORIGIN, origin(pending.record)))
        message.headers.append((STREAM, self._stream))
        message.headers.extend(replay_marks(pending.record.headers))
        return message

    def _produce(self, topic: str, message: codec.Message, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        if topic in self._topics.limits and self._producer.batch_bytes(message) > self._topics.limits[topic]:
            raise RecordTooLarge(f"the record is larger than {topic} accepts")
        try:
            return topic, self._producer.send(topic, message, targets[topic])
        except RecordTooLarge:
            raise
        except KafkaError as error:
            # The tracker returns each record once: only another worker can take this one up again.
            raise _refused(topic, error) from None

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
                self._failed(_refused(topic, None if delivery is None else delivery.error))
                group = group[:number]
                break
            last = max(last, offset)
        tracker.acknowledge(topic, self.targets(tracker.partition)[topic], last)
        tracker.finish(group)
        acknowledged.set_result(None)


def _refused(topic: str, error: KafkaError | None) -> WriteFailed:
    if isinstance(error, NotAuthorized):
        return WriteFailed(f"Kafka does not let this user write to the topic {topic}", remedy="grant it Write")
    reason = "its predecessors were not acknowledged" if error is None else str(error)
    problem = f"Kafka refused a record for {topic} ({reason.rstrip('.')})"
    return WriteFailed(problem, remedy="check the topic's configuration, then restart the worker")
