"""The lag of a consumer group, seen from outside: no client joins the group, so it is not rebalanced."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster, Consumer, ConsumerOptions, TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """The first and the next offset of a partition, and the group's committed one, None before its first commit.

    `metadata` is the text of that commit.
    """

    start: int
    end: int
    committed: int | None
    metadata: str = ""

    @property
    def records(self) -> int:
        """Records that the group has not finished."""
        return self.end - max(self.start, self.committed or 0)


class EndReader:
    """Reads the ends of partitions over one connection, opened at the first read and after an error.

    It may be closed on another thread: that waits for the read that goes on. With `read_committed`, the end is where
    the first open transaction begins.
    """

    def __init__(self, cluster: Cluster, *, read_committed: bool = False) -> None:
        self._cluster = cluster
        self._options = ConsumerOptions(read_committed=read_committed)
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()

    def read(self, topic: str, partitions: Iterable[int], timeout_seconds: float = 5.0) -> dict[int, int]:
        """Return the next offset to be produced, by partition. Raises KafkaError or BrokerRefused."""
        wanted = [TopicPartition(topic, number) for number in partitions]
        with self._lock:
            if self._consumer is None:
                self._consumer = self._cluster.consumer(self._options)
            try:
                ends = self._consumer.end_offsets(wanted, timeout_seconds)
            except KafkaError:
                self._close()
                raise
        return {partition.partition: end for partition, end in ends.items()}

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(1.0)


class LagReader:
    """Reads the lag of a group repeatedly over one connection, which is opened at the first read. A context manager."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster = cluster
        self._group = group
        self._consumer: Consumer | None = None

    def read(self, topic: str) -> dict[int, Lag]:
        """Return the lag by partition; empty if there is no such topic. Raises KafkaError or BrokerRefused."""
        if self._consumer is None:
            self._consumer = self._cluster.consumer(ConsumerOptions(group=self._group))
        return _read(self._consumer, topic)

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def __enter__(self) -> LagReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lag(cluster: Cluster, group: str, topic: str) -> dict[int, Lag]:
    """Return the lag of a group in a topic, by partition, read once. Raises KafkaError or BrokerRefused."""
    with LagReader(cluster, group) as reader:
        return reader.read(topic)


def _read(consumer: Consumer, topic: str) -> dict[int, Lag]:
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for(topic))]
    if not partitions:
        return {}
    starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    committed = {partition: consumer.committed(partition) for partition in partitions}
    return {
        partition.partition: Lag(
            start=starts[partition],
            end=ends[partition],
            committed=offset.offset if offset else None,
            metadata=offset.metadata if offset else "",
        )
        for partition, offset in committed.items()
    }
