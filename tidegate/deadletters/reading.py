"""The topic of the letters, read without a group and without a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from eventing.kafka.port import Cluster, ConsumedRecord, Consumer, ConsumerOptions, TopicPartition
from tidegate.deadletters.errors import UnknownTopic
from tidegate.deadletters.filters import Filter
from tidegate.deadletters.ledger import Ledger
from tidegate.deadletters.letter import Letter, is_letter
from tidegate.replay.reading import read
from tidegate.replay.window import Range, Time, Window, ranges

_EVERYTHING = Window()
# Bytes of letters that are in memory at once, unless one alone has more.
_CHUNK_BYTES = 4 * 2**20


def consumer_of(cluster: Cluster) -> Consumer:
    """Return a consumer that holds few records at a time."""
    return cluster.consumer(ConsumerOptions(max_poll_records=2_000))


def scan(consumer: Consumer, topic: str, filter_: Filter, *, broker: str, progress: Callable[[int], None] = lambda _: None) -> Ledger:
    """Read the topic to its present end, from `--since` on where the broker knows its offset. Raises UnknownTopic."""
    if not consumer.partitions_for(topic):
        raise UnknownTopic(f"no topic {topic} at {broker}", remedy="check its name; `tidegate status` shows the streams here")
    # To the end in any case, since markers follow the letters that they name.
    found = ranges(consumer, topic, Window(None if filter_.since_ms is None else Time(filter_.since_ms)))
    if filter_.addresses:
        found = _with_addresses(found, filter_)
    ledger = Ledger(filter_, dict.fromkeys(consumer.partitions_for(topic), 0))
    for partition, range_ in found.items():
        ledger.partitions[partition.partition].position = range_.start
    for records in read(consumer, found, _EVERYTHING) if found else ():
        for record in records:
            ledger.take(record)
        progress(len(records))
    for partition, range_ in found.items():
        ledger.partitions[partition.partition].position = range_.end
    return ledger


def _with_addresses(found: Mapping[TopicPartition, Range], filter_: Filter) -> dict[TopicPartition, Range]:
    """Return what has to be read to know these letters and what was done with them."""
    firsts: dict[int, int] = {}
    for address in filter_.addresses:
        firsts[address.partition] = min(address.offset, firsts.get(address.partition, address.offset))
    return {
        partition: Range(max(range_.start, firsts[partition.partition]), range_.end)
        for partition, range_ in found.items()
        if firsts.get(partition.partition, range_.end) < range_.end
    }


def catch_up(consumer: Consumer, ledger: Ledger, partition: TopicPartition, end: int) -> None:
    """Apply the markers of a partition up to an offset; letters that are new there belong to no selection."""
    known = ledger.partitions[partition.partition]
    for record in between(consumer, partition, known.position, end):
        ledger.take_marker(record)
    known.position = max(known.position, end)


def letters_at(consumer: Consumer, partition: TopicPartition, offsets: Sequence[int]) -> tuple[list[Letter], list[int]]:
    """Return the letters at ascending offsets, up to some megabytes, and the offsets that are still to be read.

    A letter that has expired is left out.
    """
    wanted, letters, size = set(offsets), list[Letter](), 0
    for record in between(consumer, partition, offsets[0], offsets[-1] + 1):
        if record.offset in wanted and is_letter(record.headers):
            letters.append(Letter(record))
            size += len(record.value or b"")
            if size >= _CHUNK_BYTES:
                return letters, [offset for offset in offsets if offset > record.offset]
    return letters, []


def between(consumer: Consumer, partition: TopicPartition, start: int, end: int) -> Iterator[ConsumedRecord]:
    """Yield the records of a partition from one offset to before another."""
    if start < end:
        for records in read(consumer, {partition: Range(start, end)}, _EVERYTHING):
            yield from records


def ends_of(consumer: Consumer, topics: set[str]) -> dict[TopicPartition, int]:
    """Return the end of each partition of these topics. Raises UnknownTopic."""
    found: list[TopicPartition] = []
    for topic in sorted(topics):
        numbers = consumer.partitions_for(topic)
        if not numbers:
            raise UnknownTopic(f"the broker has no topic {topic}, to which letters would be replayed", remedy="create it, then try again")
        found += [TopicPartition(topic, number) for number in sorted(numbers)]
    return consumer.end_offsets(found)
