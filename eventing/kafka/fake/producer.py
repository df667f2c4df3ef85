"""The in-memory cluster's producer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.fake.log import Log
from eventing.kafka.port import Delivery, ProducerOptions, TopicPartition

# The most that the format adds to a batch of one record (KIP-98): the batch's header, and the record's own fields.
_BATCH_OVERHEAD_BYTES = 61 + 21


class FakeProducer:
    def __init__(self, log: Log, options: ProducerOptions) -> None:
        self._log = log
        self._largest = options.max_request_bytes or 2**20

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        self._log.create_if_missing(topic)
        if self.batch_bytes(message) > self._largest:
            raise RecordTooLarge(f"the record has {self.batch_bytes(message)} bytes, and at most {self._largest} are sent")
        if partition is None:
            partition = _partition_of(message.key, sorted(self._log.numbers(topic)))
        error = self._refusal(topic, message)
        offset = None if error else self._append(TopicPartition(topic, partition), message)
        return FakeDelivery(partition=None if error else partition, offset=offset, error=error)

    def partitions_for(self, topic: str) -> set[int]:
        self._log.check_access()
        self._log.create_if_missing(topic)
        return self._log.numbers(topic)

    def batch_bytes(self, message: Message) -> int:
        headers = sum(len(name.encode()) + len(value) + 10 for name, value in message.headers)
        return _BATCH_OVERHEAD_BYTES + len(message.key or b"") + len(message.value or b"") + headers

    def flush(self, timeout_seconds: float) -> None:
        """Return at once: each record is written as it is sent."""

    def close(self, timeout_seconds: float = 5.0) -> None: ...

    def _append(self, partition: TopicPartition, message: Message) -> int:
        return self._log.append(partition, message)

    def _refusal(self, topic: str, message: Message) -> KafkaError | None:
        limit = self._log.limits.get(topic)
        if limit is not None and self.batch_bytes(message) > limit:
            return RecordTooLarge(f"the record is larger than max.message.bytes of {topic}")
        return self._log.refuse(topic, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeDelivery:
    partition: int | None
    offset: int | None
    error: KafkaError | None

    def add_done_callback(self, callback: Callable[[Delivery], None]) -> None:
        callback(self)


def _partition_of(key: bytes | None, numbers: list[int]) -> int:
    return numbers[sum(key or b"") % len(numbers)]
