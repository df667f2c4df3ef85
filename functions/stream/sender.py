"""The forms of a result: its output, or its dead letter in smaller and smaller ones, until the producer accepts one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.errors import InvalidEvent, TidegateError
from eventing.codecs import kafka as codec
from eventing.deadletter import ORIGIN, STREAM, Rejection, origin, reduced_forms, replay_marks, to_dead_letter
from eventing.event import Event
from eventing.kafka.errors import KafkaError, NotAuthorized, RecordTooLarge
from eventing.kafka.port import Delivery, Producer
from eventing.reply import Problem
from functions.stream.partition import PendingRecord
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics


class WriteFailed(TidegateError):
    """The broker refused an output for good. It is not committed."""


class Sender:
    """Sends results through a producer that its caller gives."""

    def __init__(
        self, settings: StreamSettings, topics: Topics, failure: Callable[[str, KafkaError], Exception] = lambda _, error: error
    ) -> None:
        """`failure` is what is raised for a topic and the producer's error."""
        self._settings = settings
        self._topics = topics
        self._failure = failure
        self._stream = settings.group.encode()

    def targets(self, partition: int) -> dict[str, int]:
        """Return each topic's partition for an input partition: its number, or modulo where there are fewer."""
        return {topic: partition % count for topic, count in self._topics.partitions.items()}

    def send(self, producer: Producer, pending: PendingRecord, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        """Send the largest form that is accepted, and return its topic. Raises WriteFailed or the failure."""
        while True:
            try:
                return self._produce(producer, *self._form(pending), targets)
            except RecordTooLarge:
                _reduce(pending)
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
            raise refused(self._settings.deadletter, KafkaError(reason))
        return self._settings.deadletter, letter

    def _output(self, pending: PendingRecord, reply: Event) -> codec.Message:
        message = codec.encode(reply, pending.record.key)
        message.headers.append((ORIGIN, origin(pending.record)))
        message.headers.append((STREAM, self._stream))
        message.headers.extend(replay_marks(pending.record.headers))
        return message

    def _produce(self, producer: Producer, topic: str, message: codec.Message, targets: Mapping[str, int]) -> tuple[str, Delivery]:
        if topic in self._topics.limits and producer.batch_bytes(message) > self._topics.limits[topic]:
            raise RecordTooLarge(f"the record is larger than {topic} accepts")
        try:
            return topic, producer.send(topic, message, targets[topic])
        except RecordTooLarge:
            raise
        except KafkaError as error:
            raise self._failure(topic, error) from None


def refused(topic: str, error: Exception | None) -> WriteFailed:
    """Return what ends the worker after the broker has refused a record for a topic."""
    if isinstance(error, NotAuthorized):
        return WriteFailed(f"Kafka does not let this user write to the topic {topic}", remedy="grant it Write")
    reason = "its predecessors were not acknowledged" if error is None else str(error)
    problem = f"Kafka refused a record for {topic} ({reason.rstrip('.')})"
    return WriteFailed(problem, remedy="check the topic's configuration, then restart the worker")


def _reduce(pending: PendingRecord) -> None:
    """Turn a reply that is too large into a dead letter; a dead letter has its next form already."""
    if isinstance(pending.result, Event):
        detail = "the reply is larger than the broker takes; reduce what the model returns, or raise the limit."
        pending.result = Rejection(Problem(413, "too large", detail), pending.attempts)
