"""Samples of streams, read from the broker alone: no client joins a group, and nothing is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from eventing.kafka.lag import Lag, LagReader
from eventing.kafka.port import Cluster, Consumer, ConsumerOptions, TopicPartition
from tidegate.streams.samples import PartitionSample, Sample, Stream

_POLL_SECONDS = 0.2


class SampleReader:
    """Reads samples of streams over connections that are kept. A context manager."""

    def __init__(self, cluster: Cluster, *, fetch_seconds: float = 2.0, wall: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._fetch_seconds = fetch_seconds
        self._wall = wall
        self._lags: dict[str, LagReader] = {}
        self._records: Consumer | None = None

    def read(self, stream: Stream) -> Sample:
        """Return a sample; without partitions if there is no such topic. Raises KafkaError or BrokerRefused."""
        if stream.group not in self._lags:
            self._lags[stream.group] = LagReader(self._cluster, stream.group)
        lags, at = self._lags[stream.group].read(stream.input), time.monotonic()
        positions = {number: _position(lag) for number, lag in lags.items()}
        behind = {TopicPartition(stream.input, number): position for number, position in positions.items() if position < lags[number].end}
        ages = self._ages(behind) if behind else {}
        return Sample(
            at=at,
            partitions={
                number: _partition(lag, positions[number], ages.get(TopicPartition(stream.input, number))) for number, lag in lags.items()
            },
        )

    def close(self) -> None:
        readers, self._lags = self._lags, {}
        for reader in readers.values():
            reader.close()
        consumer, self._records = self._records, None
        if consumer is not None:
            consumer.close()

    def __enter__(self) -> SampleReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ages(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, float | None]:
        """Return the ages of the first records from these offsets on, by one fetch of each partition.

        None for one without a timestamp; a partition without a record, or whose record did not come in time, has no
        entry.
        """
        if self._records is None:
            self._records = self._cluster.consumer(ConsumerOptions(max_poll_records=500))
        consumer, found = self._records, dict[TopicPartition, float | None]()
        consumer.assign(positions)
        consumer.resume(positions)  # an earlier read has paused them
        for partition, offset in positions.items():
            consumer.seek(partition, offset)
        until = time.monotonic() + self._fetch_seconds
        while len(found) < len(positions) and time.monotonic() < until:
            polled = consumer.poll(_POLL_SECONDS)
            for partition, records in polled.items():
                if records and partition not in found:
                    found[partition] = _age(records[0].timestamp, self._wall())
            consumer.pause([partition for partition, records in polled.items() if records])
        return found


def _position(lag: Lag) -> int:
    """Return the offset from which the group goes on: the oldest record before its first commit."""
    return min(lag.end, max(lag.start, lag.committed or 0))


def _partition(lag: Lag, position: int, seconds: float | None) -> PartitionSample:
    seconds = seconds if position < lag.end else 0.0
    return PartitionSample(position=position, end=lag.end, seconds=seconds, start=lag.start, committed=lag.committed)


def _age(timestamp_ms: int, wall_seconds: float) -> float | None:
    """Return the age of a record by its timestamp: never negative, and None without one."""
    return None if timestamp_ms <= 0 else max(0.0, wall_seconds - timestamp_ms / 1000)
