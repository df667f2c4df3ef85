"""Recovery after a crash without duplicates: what earlier workers wrote since the last commit is found and skipped.

The metadata of each commit is a checkpoint. The next owner of a partition reads the outputs from the checkpoint's
positions to their ends, and so learns which input offsets were finished after the commit. This needs no transactions
and works on any broker. It does not fence: a worker that was expelled from its group and still writes (a zombie) can
duplicate what it had in flight; only transactions prevent that.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventing.codecs.kafka import Headers
from eventing.deadletter import ORIGIN, STREAM
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, TopicPartition
from functions.stream.checkpoint import Checkpoint, Position, merged
from functions.stream.window import Span

_POLL_SECONDS = 30.0


def recover(
    cluster: Cluster, stream: str, source: TopicPartition, position: int, targets: dict[str, int], checkpoint: Checkpoint | None
) -> Checkpoint:
    """Return the checkpoint with what `stream` has written for `source` from `position` on (None: nothing).

    `targets` is the partition of each topic that is written to. Takes seconds when much was written since; raises
    KafkaError.
    """
    reader = cluster.consumer()
    try:
        ends = reader.end_offsets([TopicPartition(topic, partition) for topic, partition in targets.items()])
        positions = {topic: Position(partition, ends[TopicPartition(topic, partition)]) for topic, partition in targets.items()}
        if checkpoint is None:
            return Checkpoint(positions)
        written = (
            Span(offset, offset + 1)
            for topic, start in checkpoint.positions.items()
            for offset in _written(reader, stream, source, topic, start)
            if offset >= position
        )
        return Checkpoint(positions, tuple(merged([*checkpoint.finished, *written])))
    finally:
        reader.close()


def _written(reader: Consumer, stream: str, source: TopicPartition, topic: str, start: Position) -> Iterator[int]:
    """Yield the input offsets of the outputs in a topic."""
    if start.partition not in reader.partitions_for(topic):
        return  # the topic was deleted with its records
    for record in _records(reader, TopicPartition(topic, start.partition), start.offset):
        offset = input_offset(record.headers, stream, source.topic, source.partition)
        if offset is not None:
            yield offset


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
