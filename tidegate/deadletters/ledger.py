"""The letters of a topic that a command is about, and what was done with each. Pure: some 30 bytes a letter.

Letters and markers of a partition are taken in the order of their offsets, so that each marker follows its letters.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from common.redaction import redact
from eventing.kafka.port import ConsumedRecord, TopicPartition
from tidegate.deadletters.filters import Filter
from tidegate.deadletters.letter import Address, Letter, Reason, is_letter
from tidegate.deadletters.marker import Kind, Marker, is_marker, marker_of

# More reasons than these count as the last one: a sink may answer with anything.
MAX_REASONS = 1_000
OTHER_REASONS = Reason(0, "other reasons")
_EXAMPLE_LENGTH = 160
_MAX_SOURCES = 1_000
_LONGEST_LEASE_SECONDS = 86_400.0
_UNTOUCHED = -1


class State(IntEnum):
    """What was done with a letter."""

    OPEN = 0
    CLAIMED = 1
    REPLAYED = 2
    DISCARDED = 3


@dataclass(slots=True)
class Claim:
    """A marker by which a run holds letters, while it holds any of them. After `until_ms` others may take them over."""

    run: str
    until_ms: float
    ends: Mapping[TopicPartition, int]
    held: int = 0

    def binds(self, now_ms: float, taken_over: Collection[str]) -> bool:
        """Return whether other runs must leave the letters alone."""
        return self.until_ms > now_ms and self.run not in taken_over


class ReasonCount(NamedTuple):
    """A reason with the number of its letters, and the detail of one of them."""

    reason: Reason
    letters: int
    example: str


class Reasons:
    """The reasons of letters as small numbers, each with the detail of its first letter as an example."""

    def __init__(self) -> None:
        self._codes: dict[Reason, int] = {}
        self.named: list[tuple[Reason, str]] = []

    def code_of(self, letter: Letter) -> int:
        reason = letter.reason
        code = self._codes.get(reason)
        if code is None:
            if len(self.named) >= MAX_REASONS - 1:
                reason = OTHER_REASONS
                if reason in self._codes:
                    return self._codes[reason]
            code = self._codes[reason] = len(self.named)
            self.named.append((reason, redact(letter.problem.detail)[:_EXAMPLE_LENGTH]))
        return code


class PartitionLedger:
    """The letters of one partition. `position` is the offset before which everything was taken."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._offsets, self._times, self._touched = array("q"), array("q"), array("q")
        self._reasons = array("H")
        self._states = bytearray()
        self._claims: dict[int, Claim] = {}

    def add(self, offset: int, time_ms: int, reason: int) -> None:
        """Add the next letter."""
        self._offsets.append(offset)
        self._times.append(time_ms)
        self._reasons.append(reason)
        self._states.append(State.OPEN)
        self._touched.append(_UNTOUCHED)

    def apply(self, marker: Marker, offset: int, time_ms: int) -> None:
        """Apply the marker at an offset to the letters that it names and that are here."""
        claim = Claim(marker.run, time_ms + 1000 * min(marker.lease_seconds, _LONGEST_LEASE_SECONDS), marker.ends)
        for first, last in marker.letters:
            for index in range(bisect_left(self._offsets, first), bisect_right(self._offsets, last)):
                self._change(index, marker, offset, claim)
        if claim.held:
            self._claims[offset] = claim

    def state(self, offset: int) -> State:
        return State(self._states[self._index(offset)])

    def claim(self, offset: int) -> Claim | None:
        """Return the claim that holds a letter."""
        index = self._index(offset)
        return self._claims[self._touched[index]] if self._states[index] == State.CLAIMED else None

    def won(self, offsets: Iterable[int], marker: int) -> list[int]:
        """Return those letters that the claim, or the discard, at the offset `marker` has got."""
        return [offset for offset in offsets if self._touched[self._index(offset)] == marker]

    def open_indexes(self, now_ms: float, taken_over: Collection[str]) -> Iterator[int]:
        """Yield the letters that a run may claim or discard, by their number here."""
        for index, state in enumerate(self._states):
            if state == State.OPEN or (state == State.CLAIMED and not self._claims[self._touched[index]].binds(now_ms, taken_over)):
                yield index

    def offset_at(self, index: int) -> int:
        return self._offsets[index]

    def time_at(self, index: int) -> int:
        return self._times[index]

    def reasons_in(self, states: Collection[State]) -> Counter[int]:
        """Count the letters in these states by reason."""
        return Counter(reason for reason, state in zip(self._reasons, self._states, strict=True) if state in states)

    def reason_of(self, offset: int) -> int:
        return self._reasons[self._index(offset)]

    @property
    def claims(self) -> Collection[Claim]:
        """The claims that hold letters."""
        return self._claims.values()

    def indexes_in(self, states: Collection[State]) -> Iterator[int]:
        return (index for index, state in enumerate(self._states) if state in states)

    def counts(self) -> Counter[State]:
        return Counter(map(State, self._states))

    def _index(self, offset: int) -> int:
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset:
            raise KeyError(offset)
        return index

    def _change(self, index: int, marker: Marker, offset: int, claim: Claim) -> None:
        state, touched = State(self._states[index]), self._touched[index]
        if marker.kind in (Kind.CLAIMED, Kind.DISCARDED):
            if touched >= marker.seen or state in (State.REPLAYED, State.DISCARDED):
                return
            after = State.CLAIMED if marker.kind is Kind.CLAIMED else State.DISCARDED
        elif marker.kind is Kind.RELEASED:
            if state is not State.CLAIMED or self._claims[touched].run != marker.run:
                return
            after = State.OPEN
        else:  # a fact, which no other marker makes undone
            after = State.REPLAYED
        if state is State.CLAIMED:
            self._release(touched)
        if after is State.CLAIMED:
            claim.held += 1
        self._states[index], self._touched[index] = after, offset

    def _release(self, marker: int) -> None:
        claim = self._claims[marker]
        claim.held -= 1
        if not claim.held:
            del self._claims[marker]


class Ledger:
    """The letters of a topic that match a filter."""

    def __init__(self, filter_: Filter, positions: Mapping[int, int]) -> None:
        self._filter = filter_
        self.partitions = {number: PartitionLedger(position) for number, position in positions.items()}
        self.reasons = Reasons()
        self.letters = 0
        """All letters that were read, those that do not match included."""
        self.sources: set[str] = set()
        """The topics that the matching letters came from."""
        self.others = 0
        """Records that are neither letters nor markers."""

    def take(self, record: ConsumedRecord) -> None:
        """Take the next record of its partition."""
        partition = self.partitions[record.partition]
        if is_marker(record.headers):
            self.take_marker(record)
            return
        partition.position = record.offset + 1
        if not is_letter(record.headers):
            self.others += 1
            return
        self.letters += 1
        letter = Letter(record)
        if self._filter.matches(letter):
            partition.add(record.offset, record.timestamp, self.reasons.code_of(letter))
            origin = letter.origin
            if origin is not None and len(self.sources) < _MAX_SOURCES:
                self.sources.add(origin.topic)

    def take_marker(self, record: ConsumedRecord) -> None:
        """Apply the next record of its partition if it is a marker, and pass over it otherwise."""
        partition = self.partitions[record.partition]
        partition.position = record.offset + 1
        if is_marker(record.headers):
            marker = marker_of(record)
            if marker is None:
                self.others += 1
            else:
                partition.apply(marker, record.offset, record.timestamp)

    def counts(self) -> Counter[State]:
        """Count the matching letters by state."""
        return sum((partition.counts() for partition in self.partitions.values()), Counter())

    def reasons_in(self, states: Collection[State]) -> list[ReasonCount]:
        """Return the reasons of the letters in these states with their number and an example, the most frequent first."""
        counted = sum((partition.reasons_in(states) for partition in self.partitions.values()), Counter[int]())
        return self._named(counted)

    def reasons_of(self, selection: Mapping[int, array[int]]) -> list[ReasonCount]:
        """Return the reasons of selected letters, as `reasons_in`."""
        counted: Counter[int] = Counter()
        for number, offsets in selection.items():
            partition = self.partitions[number]
            counted.update(map(partition.reason_of, offsets))
        return self._named(counted)

    def first(self, states: Collection[State], limit: int) -> list[tuple[Address, State]]:
        """Return the oldest letters in these states."""
        found = (
            (partition.time_at(index), number, partition.offset_at(index))
            for number, partition in self.partitions.items()
            for index in partition.indexes_in(states)
        )
        return [(Address(number, offset), self.partitions[number].state(offset)) for _, number, offset in heapq.nsmallest(limit, found)]

    def select(self, now_ms: float, limit: int | None = None, taken_over: Collection[str] = ()) -> dict[int, array[int]]:
        """Return the offsets of the letters that a run may claim or discard, by partition; `limit` takes the oldest."""
        found = (
            (partition.time_at(index), number, partition.offset_at(index))
            for number, partition in self.partitions.items()
            for index in partition.open_indexes(now_ms, taken_over)
        )
        selection: dict[int, array[int]] = {number: array("q") for number in self.partitions}
        for _, number, offset in found if limit is None else heapq.nsmallest(limit, found):
            selection[number].append(offset)
        return {number: array("q", sorted(offsets)) for number, offsets in selection.items() if offsets}

    def held(self, now_ms: float, taken_over: Collection[str] = ()) -> Counter[str]:
        """Count the letters that other runs hold, by run."""
        counted: Counter[str] = Counter()
        for claim in (claim for partition in self.partitions.values() for claim in partition.claims):
            if claim.binds(now_ms, taken_over):
                counted[claim.run] += claim.held
        return counted

    def _named(self, counted: Counter[int]) -> list[ReasonCount]:
        named = ((*self.reasons.named[code], count) for code, count in counted.most_common())
        return [ReasonCount(reason, count, example) for reason, example, count in named]


def chunks(offsets: array[int], size: int) -> Iterator[list[int]]:
    """Yield the offsets in lists of at most `size`."""
    found = iter(offsets)
    while chunk := list(islice(found, size)):
        yield chunk
