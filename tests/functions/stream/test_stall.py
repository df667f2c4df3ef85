"""Stalls, and waits that are not stalls, by a simulated clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from functions.stream.stall import Holder, PartitionState, StallDetector, WorkerState

INTERVAL = 10.0
IDLE = PartitionState(fetched=5, finished=5, end=5, unfinished=0, holder=Holder.NONE)
LEFT = replace(IDLE, end=17)
CALM = WorkerState(topic="in", group="g", rounds=0, is_member=True, ends_known=True, partitions={})


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Checks:
    """A detector that checks every ten seconds of its own clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.detector = StallDetector(INTERVAL, 600.0, self.clock)
        self.rounds = 0

    def at(self, state: PartitionState | None, seconds: float = INTERVAL, **worker: Any) -> str | None:
        self.clock.now += seconds
        self.rounds += 1
        partitions = {} if state is None else {3: state}
        return self.detector.check(replace(CALM, **{"rounds": self.rounds, "partitions": partitions, **worker}))

    def until_stalled(self, state: PartitionState | None, **worker: Any) -> tuple[float, str]:
        """Return the seconds until a stall is found, and its sentence; infinity if there is none."""
        began = self.clock.now + INTERVAL
        while self.clock.now < began + 10_000:
            if (problem := self.at(state, **worker)) is not None:
                return self.clock.now - began, problem
        return float("inf"), ""


def test_unread_records_are_a_stall_after_a_minute() -> None:
    seconds, problem = Checks().until_stalled(LEFT)
    assert seconds == 60
    assert "partition 3 of in has been at offset 5 for 60 s: 12 records wait at the broker, 0 were read" in problem


def test_read_records_that_no_part_holds_are_a_stall() -> None:
    seconds, problem = Checks().until_stalled(replace(IDLE, fetched=9, end=9, unfinished=4))
    assert seconds == 60
    assert "0 records wait at the broker, 4 were read, and none is being processed" in problem


@pytest.mark.parametrize("state", [IDLE, replace(LEFT, end=None), replace(LEFT, unfinished=4096, holder=Holder.CALLS)])
def test_idle_or_calling_partition_is_no_stall(state: PartitionState) -> None:
    assert Checks().until_stalled(state) == (float("inf"), "")


def test_unacknowledged_outputs_may_take_the_retry_time() -> None:
    seconds, _ = Checks().until_stalled(replace(LEFT, unfinished=1, holder=Holder.WRITES))
    assert seconds == 600


def test_assigned_partition_that_is_not_taken_up_is_a_stall() -> None:
    seconds, problem = Checks().until_stalled(replace(LEFT, fetched=None, finished=None))
    assert seconds == 60
    assert "17 records wait" in problem


@pytest.mark.parametrize("moved", [replace(LEFT, fetched=6), replace(LEFT, finished=6), replace(LEFT, unfinished=1), IDLE, None])
def test_any_change_restarts_the_minute(moved: PartitionState | None) -> None:
    checks = Checks()
    assert [checks.at(LEFT) for _ in range(6)] == [None] * 6
    assert checks.at(moved) is None
    assert checks.until_stalled(LEFT)[0] == 60


def test_minute_begins_after_the_broker_answers_and_calls_end() -> None:
    for before in (replace(LEFT, end=None), replace(LEFT, holder=Holder.CALLS)):
        checks = Checks()
        assert [checks.at(before) for _ in range(100)] == [None] * 100
        assert checks.until_stalled(LEFT)[0] == 60


def test_suspended_time_does_not_count() -> None:
    checks = Checks()
    assert checks.at(LEFT) is None
    assert checks.at(LEFT, seconds=3600) is None
    assert checks.until_stalled(LEFT)[0] == 60 - 3 * INTERVAL


def test_round_without_an_end_is_a_stall_after_two_minutes() -> None:
    for answered in (True, False):
        seconds, problem = Checks().until_stalled(None, rounds=7, ends_known=answered)
        assert seconds == 120
        assert "has not polled Kafka for 120 s" in problem


def test_worker_not_accepted_by_the_group_is_a_stall() -> None:
    seconds, problem = Checks().until_stalled(None, is_member=False)
    assert seconds == 120
    assert "has not become a member of the group g for 120 s, although the broker answers" in problem
    assert Checks().until_stalled(None, is_member=False, ends_known=False)[0] == float("inf")


def test_stall_names_the_trouble_of_the_client() -> None:
    _, problem = Checks().until_stalled(LEFT, trouble="no lz4.")
    assert problem.endswith("none is being processed (Kafka: no lz4); the worker exits so that another one takes over.")


def test_partition_that_ends_before_what_was_read_was_recreated() -> None:
    seconds, problem = Checks().until_stalled(replace(IDLE, fetched=17, finished=17, end=5))
    assert seconds == 20
    assert "partition 3 of in ends at offset 5, and was read up to 17: its topic was recreated" in problem


def test_end_that_is_older_than_the_position_is_no_stall() -> None:
    checks = Checks()
    for number in range(100):
        assert checks.at(replace(IDLE, fetched=10 * number + 10, finished=10 * number, end=10 * number)) is None
