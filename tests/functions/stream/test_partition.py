from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from eventing.deadletter import Rejection
from eventing.reply import Problem
from functions.stream.checkpoint import Checkpoint, Position
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.window import Span

REJECTION = Rejection(Problem(400, "invalid", "because."), 1)


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None = b"k"
    topic: str = "in"
    partition: int = 0
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def tracker_of(*finished: Span, by_key: bool = True, most_gaps: int = 1000) -> PartitionTracker:
    checkpoint = Checkpoint({"out": Position(0, 0), "dead": Position(0, 0)}, finished)
    return PartitionTracker(0, 0, checkpoint, by_key=by_key, most_gaps=most_gaps)


def add(tracker: PartitionTracker, *records: Record) -> list[PendingRecord]:
    found = [tracker.add(record) for record in records]
    assert None not in found
    return [pending for pending in found if pending is not None]


def resolve(tracker: PartitionTracker, *records: PendingRecord) -> list[int]:
    for pending in records:
        pending.result = REJECTION
    return [pending.offset for pending in tracker.take(records).written]


def checkpoint_of(tracker: PartitionTracker) -> Checkpoint | None:
    commit = tracker.commit()
    return Checkpoint.from_text(commit.metadata, commit.offset)


# Offsets have gaps: compaction and transactions leave them.
offsets = st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted)


@given(offsets, st.data())
def test_results_of_a_partition_are_written_in_its_order_if_asked_for(numbers: list[int], data: st.DataObject) -> None:
    tracker = tracker_of(by_key=False)
    keys = data.draw(st.lists(st.sampled_from([None, b"a", b"b"]), min_size=len(numbers), max_size=len(numbers)))
    records = add(tracker, *(Record(number, key) for number, key in zip(numbers, keys, strict=True)))
    written: list[int] = []
    for pending in data.draw(st.permutations(records)):
        written += resolve(tracker, pending)
    assert written == numbers


@given(offsets, st.data())
def test_gaps_stay_bounded_and_nothing_is_lost(numbers: list[int], data: st.DataObject) -> None:
    tracker = tracker_of(most_gaps=2)
    keys = data.draw(st.lists(st.sampled_from([None, b"a", b"b", b"c"]), min_size=len(numbers), max_size=len(numbers)))
    records = add(tracker, *(Record(number, key) for number, key in zip(numbers, keys, strict=True)))
    written: list[PendingRecord] = []
    for pending in data.draw(st.permutations(records)):
        pending.result = REJECTION
        turn = tracker.take([pending])
        # What is written beyond the position makes no further gap once there are two.
        gaps = len(list(tracker._window.finished()))
        tracker.finish(turn.written)
        written += turn.written
        assert len(list(tracker._window.finished())) <= max(gaps, 2) + len(turn.written) * (gaps < 2)
    while tracker.is_held:
        turn = tracker.take()
        assert turn.written
        tracker.finish(turn.written)
        written += turn.written
    assert sorted(pending.offset for pending in written) == numbers
    assert (len(tracker), tracker.position) == (0, numbers[-1] + 1)
    for key in (b"a", b"b", b"c"):
        lane = [pending.offset for pending in written if pending.record.key == key]
        assert lane == sorted(lane)


def test_record_behind_a_retried_one_is_posted_once_that_is_written_at_the_bound() -> None:
    tracker = tracker_of(most_gaps=1)
    (retried,) = add(tracker, Record(0))
    retried.attempts = 1
    behind, other = add(tracker, Record(1), Record(2, b"other"))
    assert behind.waits
    assert resolve(tracker, other) == [2]
    tracker.finish([other])  # which makes a gap, so that from now on the order of the partition is kept
    retried.result = REJECTION
    turn = tracker.take([retried])
    assert (turn.written, turn.posted) == ([retried], [behind])


def test_commit_lists_what_is_finished_beyond_its_offset() -> None:
    tracker = tracker_of()
    first, second, third = add(tracker, Record(0, b"a"), Record(1, b"b"), Record(2, b"c"))
    assert resolve(tracker, third, first) == [2, 0]
    tracker.finish([first, third])
    tracker.acknowledge("out", 0, 40)
    assert tracker.commit().offset == 1
    assert checkpoint_of(tracker) == Checkpoint({"out": Position(0, 41), "dead": Position(0, 0)}, (Span(2, 3),))
    assert resolve(tracker, second) == [1]
    tracker.finish([second])
    tracker.acknowledge("dead", 0, 50)
    assert tracker.commit().offset == 3
    assert checkpoint_of(tracker) == Checkpoint({"out": Position(0, 41), "dead": Position(0, 51)})


def test_positions_of_outputs_only_move_forward() -> None:
    tracker = tracker_of()
    tracker.acknowledge("out", 0, 12)
    tracker.acknowledge("out", 0, 4)
    # The broker does not report the offset of a record that it had already.
    tracker.acknowledge("out", 0, -1)
    assert checkpoint_of(tracker) == Checkpoint({"out": Position(0, 13), "dead": Position(0, 0)})


def test_records_that_an_earlier_worker_finished_are_skipped() -> None:
    tracker = tracker_of(Span(1, 3))
    assert tracker.known == 2
    (first,) = add(tracker, Record(0))
    assert [tracker.add(Record(number)) for number in (1, 2)] == [None, None]
    assert checkpoint_of(tracker) == Checkpoint({"out": Position(0, 0), "dead": Position(0, 0)}, (Span(1, 3),))
    (last,) = add(tracker, Record(3))
    assert resolve(tracker, last, first) == [0, 3]
    tracker.finish([first])
    assert (tracker.position, tracker.known) == (3, 0)


def test_record_without_an_output_is_finished_at_once() -> None:
    tracker = tracker_of()
    (first,) = add(tracker, Record(0))
    tracker.pass_over(Record(1))
    assert (len(tracker), tracker.position) == (1, 0)
    tracker.finish([first])
    assert (len(tracker), tracker.position) == (0, 2)


def test_closed_tracker_has_nothing_to_write() -> None:
    tracker = tracker_of()
    (pending,) = add(tracker, Record(0))
    tracker.close()
    assert resolve(tracker, pending) == []
