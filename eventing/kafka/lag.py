"""How far a consumer group is behind, seen from outside: nobody joins the group, so nothing is rebalanced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from eventing.kafka import kafka_python
from eventing.kafka.kafka_python import Broker


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition: its first and next offsets, and where the group goes on; `committed` is None before its first commit."""

    start: int
    end: int
    committed: int | None

    @property
    def records(self) -> int:
        """Records that the group has not finished."""
        return self.end - max(self.start, self.committed or 0)


class EndReader:
    """Reads the ends of partitions again and again over one connection, which is opened when it is needed and after an error."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumer: Any = None

    def read(self, topic: str, partitions: Iterable[int], timeout_seconds: float = 5.0) -> dict[int, int]:
        """The next offset to be produced, by partition. Raises KafkaError or BrokerUnreachable."""
        if self._consumer is None:
            self._consumer = kafka_python.consumer(self._broker)
        wanted = [TopicPartition(topic, number) for number in partitions]
        try:
            ends = self._consumer.end_offsets(wanted, timeout_ms=int(timeout_seconds * 1000))
        except KafkaError:
            self.close()
            raise
        return {partition.partition: end for partition, end in ends.items()}

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(timeout_ms=1000)


class LagReader:
    """Reads the lag again and again over one connection. Raises BrokerUnreachable when it is made."""

    def __init__(self, broker: Broker, group: str) -> None:
        self._consumer = kafka_python.consumer(broker, group_id=group)

    def read(self, topic: str) -> dict[int, Lag]:
        """By partition; empty when there is no such topic. Raises KafkaError when the broker stops answering."""
        partitions = [TopicPartition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic))]
        if not partitions:
            return {}
        starts, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        return {
            partition.partition: Lag(starts[partition], ends[partition], self._consumer.committed(partition)) for partition in partitions
        }

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> LagReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lag(broker: Broker, group: str, topic: str) -> dict[int, Lag]:
    """The lag of a group in a topic, by partition, read once."""
    with LagReader(broker, group) as reader:
        return reader.read(topic)
