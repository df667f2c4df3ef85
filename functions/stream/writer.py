"""Outputs and dead letters on their way into Kafka, and the moment when all of them are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from common.errors import InvalidEvent, TidegateError
from eventing.codecs import kafka as codec
from eventing.deadletter import ORIGIN, STREAM, Rejection, origin, reduced_forms, to_dead_letter
from eventing.event import Event
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import Delivery, Producer
from eventing.reply import Problem
from functions.stream.partition import Lane, Slot
from functions.stream.recovery import Landing
from functions.stream.settings import StreamSettings

# A broker that is away for long must not make the client give up on a record, or its successors would stand before it.
NEVER_GIVE_UP_SECONDS = (2**31 - 1) / 1000


class WriteFailed(TidegateError):
    """An output was refused by the broker for good. Nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Topics:
    """What is written: how many partitions each topic has, and the bytes that it takes of a record, where that is known."""

    partitions: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)


class Writer:
    """Writes what a lane gives, in its order; all methods run on the event loop's thread.

    Records of one partition are acknowledged in the order in which they were sent, so that the last one speaks for all: one callback a
    group and topic, where one a record would cost as much as sending it.
    """

    def __init__(self, producer: Producer, settings: StreamSettings, topics: Topics, failed: Callable[[Exception], None]) -> None:
        self._producer = producer
        self._settings = settings
        self._topics = topics
        self._failed = failed
        self._stream = settings.group.encode()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], Lane] = {}

    def targets(self, partition: int) -> dict[str, int]:
        """Which partition of each topic is written for an input partition: the same number, or modulo where there are fewer."""
        return {topic: partition % count for topic, count in self._topics.partitions.items()}

    def write(self, lane: Lane, slots: list[Slot]) -> None:
        """Send the results of these slots; they land when the broker has acknowledged them. Raises WriteFailed."""
        sent: dict[str, list[tuple[Slot, Delivery]]] = {}
        targets = self.targets(lane.partition)
        for slot in slots:
            topic, delivery = self._send(slot, targets)
            sent.setdefault(topic, []).append((slot, delivery))
        for topic, group in sent.items():
            acknowledged = self._loop.create_future()
            self._waiting[acknowledged] = lane
            group[-1][1].add_done_callback(partial(self._notify, acknowledged, topic, group))

    def hold(self, partition: int) -> bool:
        """Whether something that was sent for this input partition is not acknowledged yet."""
        return any(lane.partition == partition for lane in self._waiting.values())

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        """Whether the broker acknowledged in that time all that was sent for these input partitions, in this lane or an earlier one."""
        waiting = [acknowledged for acknowledged, lane in self._waiting.items() if lane.partition in partitions]
        if not waiting:
            return True
        _, late = await asyncio.wait(waiting, timeout=timeout_seconds)
        return not late

    def _send(self, slot: Slot, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        """Send the largest form that the client takes: the output, then its dead letter in ever smaller ones."""
        while True:
            try:
                return self._produce(*self._form(slot), targets)
            except RecordTooLarge:
                self._reduce(slot)
            except InvalidEvent as error:
                slot.result = Rejection(Problem(502, "bad answer", f"the sink's reply cannot be written: {error}"), slot.attempts)

    def _form(self, slot: Slot) -> tuple[str, codec.Message]:
        """Raises InvalidEvent for a reply that cannot be written."""
        if isinstance(slot.result, Event):
            return self._settings.output, self._output(slot, slot.result)
        if slot.result is None:
            raise RuntimeError("a slot without a result was given to be written.")
        if slot.letters is None:
            slot.letters = reduced_forms(
                to_dead_letter(slot.record, slot.result, stream=self._settings.group, destination=self._settings.sink)
            )
        letter = next(slot.letters, None)
        if letter is None:
            raise _refused(
                self._settings.deadletter, f"{origin(slot.record).decode()} is too large even without its key, value and headers"
            )
        return self._settings.deadletter, letter

    def _reduce(self, slot: Slot) -> None:
        """After a form that was too large: a dead letter has its next one already."""
        if isinstance(slot.result, Event):
            problem = Problem(413, "too large", "the reply is larger than the broker takes; ask the model for less, or raise the limit.")
            slot.result = Rejection(problem, slot.attempts)

    def _output(self, slot: Slot, reply: Event) -> codec.Message:
        message = codec.encode(reply, slot.record.key)
        message.headers.append((ORIGIN, origin(slot.record)))
        message.headers.append((STREAM, self._stream))
        return message

    def _produce(self, topic: str, message: codec.Message, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        if topic in self._topics.limits and self._producer.batch_bytes(message) > self._topics.limits[topic]:
            raise RecordTooLarge(f"the record is larger than {topic} accepts.")
        try:
            return topic, self._producer.send(topic, message, targets[topic])
        except RecordTooLarge:
            raise
        except KafkaError as error:
            # What the lane gave would be lost to it: only another worker can take it up again.
            raise _refused(topic, str(error)) from None

    def _notify(self, acknowledged: asyncio.Future[None], topic: str, group: list[tuple[Slot, Delivery]], _: object) -> None:
        """Called on the producer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._land, acknowledged, topic, group)
        except RuntimeError:
            return  # the loop is closed: the worker has stopped without waiting for this

    def _land(self, acknowledged: asyncio.Future[None], topic: str, group: list[tuple[Slot, Delivery]]) -> None:
        lane = self._waiting.pop(acknowledged)
        target = self.targets(lane.partition)[topic]
        for slot, delivery in group:
            offset = delivery.offset
            if offset is None:
                self._failed(_refused(topic, _reason(delivery)))
                break
            slot.landing = Landing(topic, target, offset)
        lane.advance()
        acknowledged.set_result(None)


def _reason(delivery: Delivery) -> str:
    return "its predecessors were not acknowledged" if delivery.error is None else str(delivery.error)


def _refused(topic: str, reason: str) -> WriteFailed:
    return WriteFailed(f"Kafka refused a record for {topic} ({reason}); see to the topic and its limits, then start the worker again.")
