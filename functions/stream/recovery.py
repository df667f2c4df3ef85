"""Recovery after a crash without duplicates: what earlier workers wrote beyond the last commit is found and skipped.

The metadata of each commit is a checkpoint: positions in the output and the dead-letter topic before which there is no
output of later input. The next owner of a partition reads both topics from there to their ends, and so learns which
input offsets beyond the commit have an output already. This needs no transactions and works on any broker. It does not
fence: a worker that was expelled from its group and still writes (a zombie) can duplicate what it had in flight; only
transactions could prevent that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from eventing.codecs.kafka import Headers
from eventing.deadletter import ORIGIN, STREAM
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, TopicPartition

_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Position:
    """An offset in a partition of a known topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class OutputOffset:
    """Where the output of an input record was written."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Positions by topic (output and dead letters): no output before one belongs to input beyond the commit."""

    positions: dict[str, Position]

    def advanced(self, output: OutputOffset) -> Checkpoint:
        """Return the checkpoint after the output of the next input record in order."""
        position = self.positions.get(output.topic)
        # An earlier worker may have written to a topic or a partition that is not written to any more: that moves no
        # position.
        if position is None or output.partition != position.partition or output.offset < position.offset:
            return self
        return Checkpoint({**self.positions, output.topic: Position(position.partition, output.offset + 1)})

    def to_text(self) -> str:
        return orjson.dumps({topic: [found.partition, found.offset] for topic, found in self.positions.items()}).decode()

    @classmethod
    def from_text(cls, text: str) -> Checkpoint | None:
        """Parse a commit's metadata; None if no worker wrote it, as after a reset by hand: then all is scored again."""
        try:
            return cls({str(topic): Position(int(partition), int(offset)) for topic, (partition, offset) in orjson.loads(text).items()})
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """The checkpoint of a partition, and its earlier outputs beyond the commit by input offset."""

    checkpoint: Checkpoint
    written: dict[int, OutputOffset]


def recover(
    cluster: Cluster, stream: str, source: TopicPartition, position: int, targets: dict[str, int], checkpoint: Checkpoint | None
) -> RecoveredState:
    """Find the outputs of `stream` for `source` from `position` on, since `checkpoint` (None: there are none).

    `targets` is the partition of each topic that is written to. Takes seconds when much was written since; raises
    KafkaError.
    """
    reader = cluster.consumer()
    try:
        ends = reader.end_offsets([TopicPartition(topic, partition) for topic, partition in targets.items()])
        now = Checkpoint({topic: Position(partition, ends[TopicPartition(topic, partition)]) for topic, partition in targets.items()})
        if checkpoint is None:
            return RecoveredState(now, {})
        written: dict[int, OutputOffset] = {}
        positions = dict(now.positions)
        for topic, start in checkpoint.positions.items():
            found = {offset: output for offset, output in _outputs(reader, stream, source, topic, start) if offset >= position}
            written |= found
            # The position may only move to the end if the next worker has to find nothing before it.
            if found and start.partition == targets.get(topic, start.partition):
                positions[topic] = start
        return RecoveredState(Checkpoint(positions), written)
    finally:
        reader.close()


def _outputs(reader: Consumer, stream: str, source: TopicPartition, topic: str, start: Position) -> Iterator[tuple[int, OutputOffset]]:
    if start.partition not in reader.partitions_for(topic):
        return  # the topic was deleted with its records
    for record in _records(reader, TopicPartition(topic, start.partition), start.offset):
        offset = input_offset(record.headers, stream, source.topic, source.partition)
        if offset is not None:
            yield offset, OutputOffset(topic, start.partition, record.offset)


def input_offset(headers: Headers, stream: str, topic: str, partition: int) -> int | None:
    """Return the input offset that an output record belongs to; None if it is of another stream or partition."""
    # A dead letter of a dead letter has two origins; the last one is its own.
    values = dict(headers)
    start, origin = f"{topic}/{partition}/".encode(), values.get(ORIGIN) or b""
    offset = origin[len(start) :]
    return int(offset) if values.get(STREAM) == stream.encode() and origin.startswith(start) and offset.isdigit() else None


def _records(reader: Consumer, partition: TopicPartition, offset: int) -> Iterator[ConsumedRecord]:
    end = reader.end_offsets([partition])[partition]
    if offset >= end:
        return
    reader.assign([partition])
    reader.seek(partition, offset)
    # The position also moves over what a poll does not return: compacted records, transaction markers.
    while reader.position(partition) < end:
        records = reader.poll(_POLL_SECONDS).get(partition, [])
        if not records and reader.position(partition) < end:
            raise BrokerUnreachable(
                f"the broker returned no records of {partition.topic}/{partition.partition} from {offset} on", remedy="check its leader"
            )
        yield from records
