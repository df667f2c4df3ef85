"""A producer that keeps to the sizes that topics accept: a broker refuses a whole batch for one record in it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import Cluster, Delivery, Producer, ProducerOptions
from functions.stream import limits
from tidegate.publishing import MAX_BYTES

_BATCH_BYTES = 16_384


class LimitedProducer:
    """A producer whose `send` raises RecordTooLarge where the broker would refuse a record of its topic."""

    def __init__(self, producer: Producer, topic_limits: Mapping[str, int]) -> None:
        self._producer = producer
        self._limits = topic_limits

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        limit = self._limits.get(topic)
        if limit is not None and self._producer.batch_bytes(message) > limit:
            raise RecordTooLarge(f"the record is larger than the {limit:,} bytes that {topic} accepts (max.message.bytes)")
        return self._producer.send(topic, message, partition)

    def partitions_for(self, topic: str) -> set[int]:
        return self._producer.partitions_for(topic)

    def batch_bytes(self, message: Message) -> int:
        return self._producer.batch_bytes(message)

    def flush(self, timeout_seconds: float) -> None:
        self._producer.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        self._producer.close(timeout_seconds)


@contextlib.contextmanager
def producer_for(cluster: Cluster, topics: Collection[str]) -> Iterator[Producer]:
    """Open a producer for these topics."""
    known = limits.read(cluster, topics)
    options = ProducerOptions(
        linger_seconds=0.005,
        block_seconds=5.0,
        delivery_timeout_seconds=40.0,  # the client demands more than 30; the leases of the routes are longer
        batch_bytes=min([_BATCH_BYTES, *known.values()]),
        max_request_bytes=MAX_BYTES,
    )
    producer = LimitedProducer(cluster.producer(options), known)
    try:
        yield producer
    finally:
        with contextlib.suppress(KafkaError):  # the broker is away: what was not acknowledged is counted as such
            producer.close()
