"""What stands still, and what only waits. The clock is the test's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from functions.stream.watch import Held, Seen, Sight, Watch

LOOK = 10.0
IDLE = Seen(fetched=5, finished=5, end=5, in_hand=0, held=Held.NOBODY)
LEFT = replace(IDLE, end=17)
CALM = Sight(topic="in", group="g", rounds=0, member=True, answered=True, partitions={})


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Looks:
    """A watch that is looked through every ten seconds of a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.watch = Watch(LOOK, 600.0, self.clock)
        self.rounds = 0

    def at(self, seen: Seen | None, seconds: float = LOOK, **sight: Any) -> str | None:
        self.clock.now += seconds
        self.rounds += 1
        partitions = {} if seen is None else {3: seen}
        return self.watch.look(replace(CALM, **{"rounds": self.rounds, "partitions": partitions, **sight}))

    def until_stalled(self, seen: Seen | None, **sight: Any) -> tuple[float, str]:
        """After how long it is said, and what."""
        began = self.clock.now + LOOK
        while self.clock.now < began + 10_000:
            if (problem := self.at(seen, **sight)) is not None:
                return self.clock.now - began, problem
        return float("inf"), ""


def test_a_partition_whose_records_wait_and_are_not_read_stands_still_after_a_minute() -> None:
    seconds, problem = Looks().until_stalled(LEFT)
    assert seconds == 60
    assert "partition 3 of in has stood at offset 5 for 60 s: 12 records wait at the broker, 0 were read" in problem


def test_records_that_were_read_and_are_nowhere_stand_still_too() -> None:
    seconds, problem = Looks().until_stalled(replace(IDLE, fetched=9, end=9, in_hand=4))
    assert seconds == 60
    assert "0 records wait at the broker, 4 were read, and none is handled" in problem


@pytest.mark.parametrize("seen", [IDLE, replace(LEFT, end=None), replace(LEFT, in_hand=4096, held=Held.CALLS)])
def test_who_has_nothing_to_do_or_calls_a_sink_that_is_away_does_not_stand_still(seen: Seen) -> None:
    assert Looks().until_stalled(seen) == (float("inf"), "")


def test_outputs_that_are_not_acknowledged_are_waited_for_as_long_as_events_are_tried() -> None:
    seconds, _ = Looks().until_stalled(replace(LEFT, in_hand=1, held=Held.WRITES))
    assert seconds == 600


def test_a_partition_that_was_assigned_and_is_not_taken_up_stands_still() -> None:
    seconds, problem = Looks().until_stalled(replace(LEFT, fetched=None, finished=None))
    assert seconds == 60
    assert "17 records wait" in problem


@pytest.mark.parametrize("moved", [replace(LEFT, fetched=6), replace(LEFT, finished=6), replace(LEFT, in_hand=1), IDLE, None])
def test_a_step_begins_the_minute_again(moved: Seen | None) -> None:
    looks = Looks()
    assert [looks.at(LEFT) for _ in range(6)] == [None] * 6
    assert looks.at(moved) is None
    assert looks.until_stalled(LEFT)[0] == 60


def test_the_minute_begins_when_the_broker_has_answered_again_and_when_the_calls_are_over() -> None:
    for before in (replace(LEFT, end=None), replace(LEFT, held=Held.CALLS)):
        looks = Looks()
        assert [looks.at(before) for _ in range(100)] == [None] * 100
        assert looks.until_stalled(LEFT)[0] == 60


def test_a_process_that_was_suspended_has_not_waited() -> None:
    looks = Looks()
    assert looks.at(LEFT) is None
    assert looks.at(LEFT, seconds=3600) is None
    assert looks.until_stalled(LEFT)[0] == 60 - 3 * LOOK


def test_a_round_that_does_not_end_stands_still_after_two_minutes_whether_the_broker_answers_or_not() -> None:
    for answered in (True, False):
        seconds, problem = Looks().until_stalled(None, rounds=7, answered=answered)
        assert seconds == 120
        assert "has not asked Kafka for records for 120 s" in problem


def test_a_worker_that_the_group_does_not_take_in_stands_still_while_the_broker_answers() -> None:
    seconds, problem = Looks().until_stalled(None, member=False)
    assert seconds == 120
    assert "has not become a member of the group g for 120 s, although the broker answers" in problem
    assert Looks().until_stalled(None, member=False, answered=False)[0] == float("inf")


def test_what_the_client_complained_of_is_said_with_it() -> None:
    _, problem = Looks().until_stalled(LEFT, trouble="no lz4.")
    assert problem.endswith("none is handled (Kafka: no lz4); the worker ends so that another one goes on there.")
