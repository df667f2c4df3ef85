"""Recovery after a crash without duplicates: what earlier workers wrote since the last commit is found and skipped.

The metadata of each commit is a checkpoint. The next owner of a partition reads the outputs from the checkpoint's
positions to their ends, and so learns which input offsets were finished after the commit. This needs no transactions
and works on any broker. It does not fence: a worker that was expelled from its group and still writes (a zombie) can
duplicate what it had in flight; only transactions prevent that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from eventing.codecs.kafka import Headers
from eventing.deadletter import ORIGIN, STREAM
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, ConsumerOptions, TopicPartition
from functions.stream.checkpoint import Checkpoint, Position, merged
from functions.stream.window import Span

_POLL_SECONDS = 30.0
# A poll waits for records, also once its position has passed the last ones.
_STEP_SECONDS = 0.5

Targets = Callable[[int], Mapping[str, int]]
"""The partition of each topic that is written to, for an input partition."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What the group has committed of a partition; without a checkpoint if no worker has done so."""

    position: int
    checkpoint: Checkpoint | None

    @property
    def is_exact(self) -> bool:
        """Whether the commit is of a transaction with the outputs, so that none is beyond it but those that it names."""
        return self.checkpoint is not None and not self.checkpoint.positions


def recover(
    cluster: Cluster, stream: str, topic: str, committed: Mapping[int, Committed], targets: Targets, *, read_committed: bool = False
) -> dict[int, Checkpoint]:
    """Return the checkpoint of each partition of `topic`, with what `stream` has written for it since its commit.

    Takes seconds when much was written since; raises KafkaError.
    """
    reader = cluster.consumer(ConsumerOptions(read_committed=read_committed))
    try:
        written_to = {number: [TopicPartition(*target) for target in targets(number).items()] for number in committed}
        ends = reader.end_offsets({target for found in written_to.values() for target in found})
        finished = {number: list(found.checkpoint.finished) for number, found in committed.items() if found.checkpoint is not None}
        for number, offset in _outputs(reader, stream, topic, _starts(reader, committed)):
            if number in finished and offset >= committed[number].position:
                finished[number].append(Span(offset, offset + 1))
    finally:
        reader.close()
    return {
        number: Checkpoint(
            {target.topic: Position(target.partition, ends[target]) for target in found}, tuple(merged(finished.get(number, ())))
        )
        for number, found in written_to.items()
    }


def _starts(reader: Consumer, committed: Mapping[int, Committed]) -> dict[TopicPartition, int]:
    """Return where to begin in each partition that was written to; those of deleted topics are left out."""
    starts: dict[TopicPartition, int] = {}
    for found in committed.values():
        for topic, position in found.checkpoint.positions.items() if found.checkpoint is not None else ():
            target = TopicPartition(topic, position.partition)
            starts[target] = min(position.offset, starts.get(target, position.offset))
    known = {topic: reader.partitions_for(topic) for topic in {target.topic for target in starts}}
    return {target: offset for target, offset in starts.items() if target.partition in known[target.topic]}


def _outputs(reader: Consumer, stream: str, topic: str, starts: Mapping[TopicPartition, int]) -> Iterator[tuple[int, int]]:
    """Yield the input partition and offset of each output from these offsets on."""
    for record in _records(reader, starts):
        found = input_record(record.headers, stream, topic)
        if found is not None:
            yield found


def input_record(headers: Headers, stream: str, topic: str) -> tuple[int, int] | None:
    """Return the input partition and offset that an output record belongs to; None if it is of another stream or topic."""
    # A dead letter of a dead letter has two origins; the last one is its own.
    values = dict(headers)
    start, origin = f"{topic}/".encode(), values.get(ORIGIN) or b""
    partition, _, offset = origin[len(start) :].partition(b"/")
    is_own = values.get(STREAM) == stream.encode() and origin.startswith(start)
    return (int(partition), int(offset)) if is_own and partition.isdigit() and offset.isdigit() else None


def _records(reader: Consumer, starts: Mapping[TopicPartition, int]) -> Iterator[ConsumedRecord]:
    """Yield the records of each partition from its offset to its end."""
    ends = {target: end for target, end in reader.end_offsets(list(starts)).items() if starts[target] < end} if starts else {}
    reader.assign(list(ends))
    for target in ends:
        reader.seek(target, starts[target])
    left, until = dict(ends), time.monotonic() + _POLL_SECONDS
    while left:
        for records in (found := reader.poll(_STEP_SECONDS)).values():
            yield from records
        # The position also moves over what a poll does not return: compacted records, transaction markers.
        left = {target: end for target, end in left.items() if reader.position(target) < end}
        until = time.monotonic() + _POLL_SECONDS if found else until
        if left and time.monotonic() > until:
            target = next(iter(left))
            raise BrokerUnreachable(
                f"the broker returned no records of {target.topic}/{target.partition} from {starts[target]} on", remedy="check its leader"
            )
