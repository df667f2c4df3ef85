from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from eventing.deadletter import Rejection
from eventing.reply import Problem
from functions.stream.partition import Lane, Slot
from functions.stream.recovery import Checkpoint, Landing, Mark

REJECTION = Rejection(Problem(400, "invalid", "because."), 1)


@dataclass(frozen=True)
class Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def lane_of(written: dict[int, Landing] | None = None) -> Lane:
    return Lane(0, 0, Checkpoint({"out": Mark(0, 0), "dead": Mark(0, 0)}), written or {})


# Offsets have gaps: compaction and transactions leave them.
offsets = st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted)


@given(offsets, st.randoms(use_true_random=False), st.data())
def test_results_are_written_in_the_order_of_their_offsets_whatever_order_they_come_in(
    numbers: list[int], random: object, data: st.DataObject
) -> None:
    lane = lane_of()
    slots = [lane.add(Record(number)) for number in numbers]
    written: list[Slot] = []
    for slot in data.draw(st.permutations(slots)):
        slot.result = REJECTION
        written += lane.take()
    assert [slot.record.offset for slot in written] == numbers


@given(offsets, st.data())
def test_the_position_never_passes_what_has_not_landed(numbers: list[int], data: st.DataObject) -> None:
    lane = lane_of()
    slots = [lane.add(Record(number)) for number in numbers]
    for slot in slots:
        slot.result = REJECTION
    lane.take()
    landed: set[int] = set()
    for slot in data.draw(st.permutations(slots)):
        slot.landing = Landing("out", 0, 7)
        landed.add(slot.record.offset)
        lane.advance()
        assert all(number in landed for number in numbers if number < lane.position)
    assert lane.position == numbers[-1] + 1
    assert len(lane) == 0


def test_the_checkpoint_stands_behind_the_last_output_before_the_position() -> None:
    lane = lane_of()
    first, second, third = (lane.add(Record(number)) for number in range(3))
    first.landing, third.landing = Landing("out", 0, 40), Landing("dead", 0, 50)
    lane.advance()
    assert lane.checkpoint == Checkpoint({"out": Mark(0, 41), "dead": Mark(0, 0)})
    second.landing = Landing("out", 0, 44)
    lane.advance()
    assert lane.position == 3
    assert lane.checkpoint == Checkpoint({"out": Mark(0, 45), "dead": Mark(0, 51)})


def test_what_an_earlier_worker_wrote_is_passed_over() -> None:
    lane = lane_of({1: Landing("out", 0, 9)})
    slots = [lane.add(Record(number)) for number in range(3)]
    for slot in (slots[0], slots[2]):
        slot.result = REJECTION
    assert lane.take() == [slots[0], slots[2]]
    assert lane.written == 0


def test_an_output_that_stands_elsewhere_moves_the_position_and_no_mark() -> None:
    lane = lane_of({0: Landing("renamed", 0, 9), 1: Landing("out", 3, 9)})
    for number in range(2):
        lane.add(Record(number))
    lane.advance()
    assert lane.position == 2
    assert lane.checkpoint == Checkpoint({"out": Mark(0, 0), "dead": Mark(0, 0)})


def test_a_closed_lane_gives_nothing_to_write() -> None:
    lane = lane_of()
    slot = lane.add(Record(0))
    lane.close()
    slot.result = REJECTION
    assert lane.take() == []
