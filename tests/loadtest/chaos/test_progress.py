from __future__ import annotations

from loadtest.chaos.history import Cause, Disturbance, History, Place, Sent, Topic, Written
from loadtest.chaos.progress import Progress, measure
from loadtest.chaos.workload import Kind

NEVER = float("inf")


def progress(records: list[tuple[int, float, float]], *faults: tuple[float, float]) -> Progress:
    """Of records with a partition, the time of sending and the time of the answer."""
    sent, written = [], []
    for number, (partition, begin, end) in enumerate(records):
        place = Place(partition, number)
        sent.append(Sent(place, begin, number, Kind.EVENT, b"k"))
        if end < NEVER:
            written.append(Written(Topic.OUTPUT, partition, number, end, place, b"k", b"", "id"))
    disturbances = [Disturbance(f"fault {number}", Cause.NONE, *times) for number, times in enumerate(faults)]
    return measure(History(sent, written, {}, {}, disturbances), 10.0)


def test_the_heal_is_that_of_the_slowest_partition_with_waiting_records() -> None:
    found = progress([(0, 1, 12), (0, 2, 14), (1, 3, 15.5), (2, 1, 2), (2, 11, 30)], (5, 10))
    assert [heal.seconds for heal in found.heals] == [5.5]
    assert found.slowest == 5.5
    assert not found.stalled(10.0)


def test_a_partition_that_moves_no_more_is_stalled() -> None:
    found = progress([(0, 1, 12), (1, 3, NEVER)], (5, 10))
    assert found.slowest == NEVER
    assert [heal.after for heal in found.stalled(10.0)] == ["fault 0"]


def test_a_heal_that_takes_too_long_is_found_and_one_that_was_disturbed_is_not_judged() -> None:
    records = [(0, 1.0, 25.0)]
    assert [heal.judged for heal in progress(records, (5, 10)).heals] == [True]
    assert len(progress(records, (5, 10)).stalled(10.0)) == 1
    disturbed = progress(records, (5, 10), (15, 16))
    assert [heal.judged for heal in disturbed.heals] == [False, True]
    assert [heal.seconds for heal in disturbed.stalled(8.0)] == [9.0]
    # Ten seconds without a fault are enough to judge.
    assert [heal.judged for heal in progress(records, (5, 10), (20, 21)).heals] == [True, True]


def test_faults_that_overlap_heal_together() -> None:
    found = progress([(0, 1, 14)], (5, 10), (9, 12), (13, 13.5))
    assert [(heal.after, heal.seconds) for heal in found.heals] == [("fault 0, fault 1", 2.0), ("fault 2", 0.5)]


def test_the_fewest_results_of_a_minute_are_those_of_a_minute_with_a_fault() -> None:
    steady = [(0, float(second), second + 0.5) for second in range(300)]
    gap = [(0, float(second), 160.5 if 100 <= second < 160 else second + 0.5) for second in range(300)]
    assert progress(steady, (120, 130)).fewest == 60
    assert progress(gap, (100, 160)).fewest == 0
    # The same gap counts only in minutes with a fault.
    assert progress(gap, (280, 281)).fewest is None or progress(gap, (280, 281)).fewest == 60
    assert progress(steady[:30], (5, 10)).fewest is None
