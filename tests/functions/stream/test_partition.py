from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from eventing.deadletter import Rejection
from eventing.reply import Problem
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.recovery import Checkpoint, OutputOffset, Position

REJECTION = Rejection(Problem(400, "invalid", "because."), 1)


@dataclass(frozen=True)
class Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def tracker_of(written: dict[int, OutputOffset] | None = None) -> PartitionTracker:
    return PartitionTracker(0, 0, Checkpoint({"out": Position(0, 0), "dead": Position(0, 0)}), written or {})


# Offsets have gaps: compaction and transactions leave them.
offsets = st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted)


@given(offsets, st.randoms(use_true_random=False), st.data())
def test_results_are_written_in_the_order_of_their_offsets(numbers: list[int], random: object, data: st.DataObject) -> None:
    tracker = tracker_of()
    records = [tracker.add(Record(number)) for number in numbers]
    written: list[PendingRecord] = []
    for pending in data.draw(st.permutations(records)):
        pending.result = REJECTION
        written += tracker.take()
    assert [pending.record.offset for pending in written] == numbers


@given(offsets, st.data())
def test_position_never_passes_an_unacknowledged_output(numbers: list[int], data: st.DataObject) -> None:
    tracker = tracker_of()
    records = [tracker.add(Record(number)) for number in numbers]
    for pending in records:
        pending.result = REJECTION
    tracker.take()
    acknowledged: set[int] = set()
    for pending in data.draw(st.permutations(records)):
        pending.output = OutputOffset("out", 0, 7)
        acknowledged.add(pending.record.offset)
        tracker.advance()
        assert all(number in acknowledged for number in numbers if number < tracker.position)
    assert tracker.position == numbers[-1] + 1
    assert len(tracker) == 0


def test_checkpoint_follows_the_outputs_before_the_position() -> None:
    tracker = tracker_of()
    first, second, third = (tracker.add(Record(number)) for number in range(3))
    first.output, third.output = OutputOffset("out", 0, 40), OutputOffset("dead", 0, 50)
    tracker.advance()
    assert tracker.checkpoint == Checkpoint({"out": Position(0, 41), "dead": Position(0, 0)})
    second.output = OutputOffset("out", 0, 44)
    tracker.advance()
    assert tracker.position == 3
    assert tracker.checkpoint == Checkpoint({"out": Position(0, 45), "dead": Position(0, 51)})


def test_records_with_an_earlier_output_are_skipped() -> None:
    tracker = tracker_of({1: OutputOffset("out", 0, 9)})
    records = [tracker.add(Record(number)) for number in range(3)]
    for pending in (records[0], records[2]):
        pending.result = REJECTION
    assert tracker.take() == [records[0], records[2]]
    assert tracker.written == 0


def test_output_elsewhere_moves_the_position_but_no_checkpoint() -> None:
    tracker = tracker_of({0: OutputOffset("renamed", 0, 9), 1: OutputOffset("out", 3, 9)})
    for number in range(2):
        tracker.add(Record(number))
    tracker.advance()
    assert tracker.position == 2
    assert tracker.checkpoint == Checkpoint({"out": Position(0, 0), "dead": Position(0, 0)})


def test_closed_tracker_has_nothing_to_write() -> None:
    tracker = tracker_of()
    pending = tracker.add(Record(0))
    tracker.close()
    pending.result = REJECTION
    assert tracker.take() == []


@given(offsets, st.data())
def test_passed_over_records_are_not_written_and_hold_up_nothing(numbers: list[int], data: st.DataObject) -> None:
    tracker = tracker_of()
    records = [tracker.add(Record(number)) for number in numbers]
    passed = data.draw(st.sets(st.sampled_from(records)))
    for pending in records:
        pending.passed_over = pending in passed
        pending.result = None if pending in passed else REJECTION
    written = tracker.take()
    assert written == [pending for pending in records if pending not in passed]
    for number, pending in enumerate(written):
        pending.output = OutputOffset("out", 0, number)
    tracker.advance()
    assert (tracker.position, len(tracker)) == (numbers[-1] + 1, 0)
    assert tracker.checkpoint.positions["out"].offset == len(written)
