"""Nothing is written twice by a worker that was killed and started again.

With each commit goes, in its metadata, a checkpoint: positions in the output and the dead-letter topic before which nothing stands
that belongs to later input. Whoever is given the partition reads both from there to their ends, and learns which input
offsets beyond the commit were answered already. This needs no transactions and works on any broker. It does not fence: a worker that was
taken for dead and still writes (a zombie) can double what it had in flight; only transactions could prevent that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from eventing.codecs.kafka import Headers
from eventing.deadletter import ORIGIN, STREAM
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, TopicPartition

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Mark:
    """The next offset of interest in a partition."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Landing:
    """Where the output of an input record stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """By topic (output and dead letters): nothing before the mark belongs to input beyond the commit."""

    marks: dict[str, Mark]

    def advanced(self, landing: Landing) -> Checkpoint:
        """After the output of the next input record in order."""
        mark = self.marks.get(landing.topic)
        # An earlier worker may have written to a topic or a partition that is not written to any more: that moves no mark.
        if mark is None or landing.partition != mark.partition or landing.offset < mark.offset:
            return self
        return Checkpoint({**self.marks, landing.topic: Mark(mark.partition, landing.offset + 1)})

    def to_text(self) -> str:
        return orjson.dumps({topic: [mark.partition, mark.offset] for topic, mark in self.marks.items()}).decode()

    @classmethod
    def from_text(cls, text: str) -> Checkpoint | None:
        """None when the commit is not a worker's own: whoever moved the group's offsets by hand wants them scored again."""
        try:
            return cls({str(topic): Mark(int(partition), int(offset)) for topic, (partition, offset) in orjson.loads(text).items()})
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Past:
    """What a partition's earlier workers left: where to go on, and what is written already beyond there, by input offset."""

    checkpoint: Checkpoint
    written: dict[int, Landing]


def look_back(
    cluster: Cluster, stream: str, source: TopicPartition, position: int, sinks: dict[str, int], checkpoint: Checkpoint | None
) -> Past:
    """Find what `stream` wrote of `source` from input offset `position` on, since `checkpoint` (None: nothing counts).

    `sinks` names the partition of each topic that is written to. Takes seconds when much was written since; raises BrokerUnreachable.
    """
    reader = cluster.consumer()
    try:
        ends = _ends(reader, {TopicPartition(topic, partition) for topic, partition in sinks.items()})
        now = Checkpoint({topic: Mark(partition, ends[TopicPartition(topic, partition)]) for topic, partition in sinks.items()})
        if checkpoint is None:
            return Past(now, {})
        written: dict[int, Landing] = {}
        marks = dict(now.marks)
        for topic, mark in checkpoint.marks.items():
            found = {offset: landing for offset, landing in _written(reader, stream, source, topic, mark) if offset >= position}
            written |= found
            # The mark may only move to the end if nothing behind it has to be found again by the next worker.
            if found and mark.partition == sinks.get(topic, mark.partition):
                marks[topic] = mark
        return Past(Checkpoint(marks), written)
    finally:
        reader.close()


def _written(reader: Consumer, stream: str, source: TopicPartition, topic: str, mark: Mark) -> Iterator[tuple[int, Landing]]:
    if mark.partition not in reader.partitions_for(topic):
        return  # the topic is gone, and what was written to it
    for record in _records(reader, TopicPartition(topic, mark.partition), mark.offset):
        offset = input_offset(record.headers, stream, source.topic, source.partition)
        if offset is not None:
            yield offset, Landing(topic, mark.partition, record.offset)


def input_offset(headers: Headers, stream: str, topic: str, partition: int) -> int | None:
    """The input offset that an output record belongs to, or None if it is not of this stream and partition."""
    # A dead letter that was dead-lettered has two origins; the last one is its own.
    values = dict(headers)
    start, origin = f"{topic}/{partition}/".encode(), values.get(ORIGIN) or b""
    offset = origin[len(start) :]
    return int(offset) if values.get(STREAM) == stream.encode() and origin.startswith(start) and offset.isdigit() else None


def _records(reader: Consumer, partition: TopicPartition, offset: int) -> Iterator[ConsumedRecord]:
    end = _ends(reader, {partition})[partition]
    if offset >= end:
        return
    reader.assign([partition])
    reader.seek(partition, offset)
    # The position moves over what a poll does not return (compacted records, transaction markers) as well.
    while reader.position(partition) < end:
        records = reader.poll(_PATIENCE_SECONDS).get(partition, [])
        if not records and reader.position(partition) < end:
            raise BrokerUnreachable(f"the broker did not return {partition.topic}/{partition.partition} from {offset}; check its leader.")
        yield from records


def _ends(reader: Consumer, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
    return reader.end_offsets(partitions)
