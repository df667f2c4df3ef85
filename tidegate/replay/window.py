"""The window of a replay: from one time or offset to another, and the offsets that it means in each partition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from eventing.kafka.port import Consumer, TopicPartition
from tidegate.replay.errors import InvalidWindow, ReadStalled
from tidegate.times import milliseconds, shown

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Time:
    """A time in milliseconds since the epoch, as records have it."""

    ms: int

    def __str__(self) -> str:
        return shown(self.ms)


@dataclass(frozen=True, slots=True)
class Offset:
    """An offset, the same in each partition."""

    offset: int

    def __str__(self) -> str:
        return f"offset {self.offset}"


Bound = Time | Offset | None


@dataclass(frozen=True, slots=True)
class Window:
    """The records from `first` to before `last`; None is the beginning and the end of the topic."""

    first: Bound = None
    last: Bound = None

    def __str__(self) -> str:
        return f"from {self.first or 'the beginning'} to {self.last or 'the end'}"

    def has_time(self, ms: int) -> bool:
        """Return whether a record of this time is inside, as far as the bounds are times."""
        first, last = self.first, self.last
        return not (isinstance(first, Time) and ms < first.ms) and not (isinstance(last, Time) and ms >= last.ms)


class Range(NamedTuple):
    """The offsets of a partition from `start` to before `end`."""

    start: int
    end: int


def parse_window(first: str | None, last: str | None, now: datetime) -> Window:
    """Parse both bounds. Raises InvalidWindow."""
    found = Window(_parse(first, "--from", now), _parse(last, "--to", now))
    match found:
        case Window(Time(start), Time(end)) | Window(Offset(start), Offset(end)) if start >= end:
            raise InvalidWindow(f"the window {found} is empty", remedy="name a --to after --from")
    return found


def _parse(text: str | None, option: str, now: datetime) -> Bound:
    """Parse an ISO 8601 time (UTC without an offset), a duration before now such as `15m`, or an offset."""
    if text is None:
        return None
    if text.isdecimal():
        return Offset(int(text))
    ms = milliseconds(text, now)
    if ms is None:
        raise InvalidWindow(
            f"{option} is {text!r}, which is neither a time nor an offset",
            remedy="write 2026-11-01T08:00, a duration before now such as 15m, 2h or 7d, or an offset such as 1000",
        )
    return Time(ms)


def ranges(consumer: Consumer, topic: str, window: Window) -> dict[TopicPartition, Range]:
    """Return the offsets of the window in each partition that has any; none if there is no such topic.

    Where the broker has no index of times, they include records outside of the window. The consumer is assigned
    other partitions.
    """
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for(topic))]
    if not partitions:
        return {}
    begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    whole = {partition: Range(begins[partition], ends[partition]) for partition in partitions}
    firsts, lasts = _offsets(consumer, whole, window.first), _offsets(consumer, whole, window.last)
    found = {}
    for partition, (begin, end) in whole.items():
        first, last = firsts.get(partition, begin), lasts.get(partition, end)
        if max(begin, first) < min(end, last):
            found[partition] = Range(max(begin, first), min(end, last))
    return found


def oldest(consumer: Consumer, found: dict[TopicPartition, Range]) -> int | None:
    """Return the time of the oldest of the first records of these ranges, None if there are none."""
    return min((_time_at(consumer, partition, item.start) for partition, item in found.items()), default=None)


def _offsets(consumer: Consumer, whole: dict[TopicPartition, Range], bound: Bound) -> dict[TopicPartition, int]:
    """Return the offset of a bound in each partition; a partition without one is left out."""
    if bound is None:
        return {}
    if isinstance(bound, Offset):
        return dict.fromkeys(whole, bound.offset)
    found = consumer.offsets_for_times(dict.fromkeys(whole, bound.ms))
    late = [partition for partition, offset in found.items() if offset is None]
    # A broker without an index of times has no offset for any time: the records' own times decide.
    indexed = {partition for partition, offset in consumer.offsets_for_times(dict.fromkeys(late, 0)).items() if offset is not None}
    ends = {partition: whole[partition].end for partition in late if partition in indexed}
    return {partition: offset for partition, offset in found.items() if offset is not None} | ends


def _time_at(consumer: Consumer, partition: TopicPartition, offset: int) -> int:
    """Return the time of the record at an offset, or of the next one if that does not exist any more."""
    consumer.assign([partition])
    consumer.resume([partition])  # a read may have paused it
    consumer.seek(partition, offset)
    records = consumer.poll(_SECONDS).get(partition)
    if not records:
        raise ReadStalled(
            f"the broker returned no record of {partition.topic}, partition {partition.partition}, at offset {offset}",
            remedy="check its log, then try again",
        )
    return records[0].timestamp
