"""Samples of streams, read from the broker alone: no client joins a group, and nothing is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType

from eventing.kafka.lag import Lag, LagReader
from eventing.kafka.port import Cluster, Consumer, ConsumerOptions, TopicPartition
from functions.stream.checkpoint import Checkpoint
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
        partitions = {number: _partition(lag) for number, lag in lags.items()}
        behind = {TopicPartition(stream.input, number): one for number, one in partitions.items() if one.records}
        for (_, number), one in (self._with_ages(behind) if behind else {}).items():
            partitions[number] = one
        return Sample(at=at, partitions=partitions)

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

    def _with_ages(self, behind: Mapping[TopicPartition, PartitionSample]) -> dict[TopicPartition, PartitionSample]:
        """Return these partitions with the ages of their first records, by one fetch of each.

        One that did not come in time is left out.
        """
        if self._records is None:
            self._records = self._cluster.consumer(ConsumerOptions(max_poll_records=500))
        consumer, found = self._records, dict[TopicPartition, PartitionSample]()
        consumer.assign(behind)
        consumer.resume(behind)  # an earlier read has paused them
        for partition, one in behind.items():
            consumer.seek(partition, one.position)
        until = time.monotonic() + self._fetch_seconds
        while len(found) < len(behind) and time.monotonic() < until:
            for partition, records in consumer.poll(_POLL_SECONDS).items():
                if records and partition not in found:
                    found[partition] = replace(behind[partition], seconds=_age(records[0].timestamp, self._wall()))
            for partition in behind.keys() - found.keys():
                # Nothing but markers of transactions, which the client passes over.
                if consumer.position(partition) >= behind[partition].end:
                    found[partition] = replace(behind[partition], beyond=behind[partition].end - behind[partition].position, seconds=0.0)
            consumer.pause(found)
        return found


def _position(lag: Lag) -> int:
    """Return the offset from which the group goes on: the oldest record before its first commit."""
    return min(lag.end, max(lag.start, lag.committed or 0))


def _partition(lag: Lag) -> PartitionSample:
    position = _position(lag)
    beyond = _finished_beyond(lag, position)
    seconds = None if position + beyond < lag.end else 0.0
    return PartitionSample(position=position, end=lag.end, seconds=seconds, beyond=beyond, start=lag.start, committed=lag.committed)


def _finished_beyond(lag: Lag, position: int) -> int:
    """Return how many records beyond the position the group has finished, as a stream worker commits it."""
    checkpoint = None if lag.committed is None else Checkpoint.from_text(lag.metadata, lag.committed)
    spans = () if checkpoint is None else checkpoint.finished
    return sum(max(0, min(span.stop, lag.end) - max(span.start, position)) for span in spans)


def _age(timestamp_ms: int, wall_seconds: float) -> float | None:
    """Return the age of a record by its timestamp: never negative, and None without one."""
    return None if timestamp_ms <= 0 else max(0.0, wall_seconds - timestamp_ms / 1000)
