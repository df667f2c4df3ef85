from __future__ import annotations

import pytest

from eventing.reply import Problem
from tidegate.replay.answers import MISSING, Answer, Kind
from tidegate.replay.candidate import Reply
from tidegate.replay.tally import Place, Tally

NAN = float("nan")


def place(number: int) -> Place:
    return Place(f"event-{number}", "/airline", 0, number, 1_000)


def scored(score: float, version: str = "v1", written_ms: int = 1_500) -> Answer:
    return Answer(Kind.SCORED, score, version, written_ms)


def test_every_event_has_one_outcome() -> None:
    tally = Tally(frozenset(), 0.5)
    problem = Problem(400, "invalid input", "carrier is 'ZZ'.")
    pairs = [
        (Reply(0.25, "v2"), scored(0.5)),
        (Reply(NAN, "v2", problem), Answer(Kind.REJECTED, written_ms=1_200)),
        (Reply(NAN, "v2", problem), scored(0.5)),
        (Reply(0.25, "v2"), MISSING),
        (Reply(NAN, "v2"), scored(NAN)),
    ]
    for number, (reply, answer) in enumerate(pairs):
        tally.add(place(number), reply, answer)
    result = tally.result([0.01, 0.03])
    assert result.outcomes == {
        ("scored", "scored"): 1,
        ("rejected", "dead-lettered"): 1,
        ("rejected", "scored"): 1,
        ("scored", "not answered"): 1,
        ("without a score", "without a score"): 1,
    }
    assert sum(result.outcomes.values()) == result.events == 5
    assert result.problems == {"invalid input": 2}
    assert [(item.place.id, item.stable) for item in result.failed] == [("event-1", Kind.REJECTED), ("event-2", Kind.SCORED)]
    assert result.candidate_ms[0.5] == pytest.approx(20.0)
    assert result.stable_ms[0.5] == 500.0


def test_worst_cases_are_the_largest_differences() -> None:
    tally = Tally(frozenset(), 0.5)
    for number in range(100):
        tally.add(place(number), Reply(0.5 + number / 1_000, "v2"), scored(0.5 if number % 2 else 0.5 + number / 500))
    agreement = tally.result([]).agreement
    assert agreement is not None
    assert len(agreement.worst) == 20
    assert [item.place.id for item in agreement.worst[:3]] == ["event-99", "event-98", "event-97"]
    assert [item.difference for item in agreement.worst[:2]] == pytest.approx([0.099, -0.098])
    assert agreement.differences.equal == 1


def test_equal_scores_have_no_worst_case() -> None:
    tally = Tally(frozenset(), 0.5)
    tally.add(place(1), Reply(0.5, "v2"), scored(0.5))
    agreement = tally.result([]).agreement
    assert agreement is not None
    assert agreement.worst == ()
    assert agreement.same_side == 1


def test_answers_of_the_candidates_own_version_are_not_compared() -> None:
    tally = Tally(frozenset({"v2"}), 0.5)
    tally.add(place(1), Reply(0.5, "v2"), scored(0.5, "v2"))
    tally.add(place(2), Reply(0.5, "v2"), scored(0.25, "v1"))
    result = tally.result([])
    assert (result.events, result.own) == (2, 1)
    assert result.agreement is not None
    assert result.agreement.differences.rows == 1


def test_first_record_that_is_no_event_is_kept() -> None:
    tally = Tally(frozenset(), 0.5)
    tally.add_invalid([])
    tally.add_invalid(["partition 0, offset 3: no id", "partition 0, offset 4: no id"])
    result = tally.result([])
    assert (result.invalid, result.first_invalid, result.agreement) == (2, "partition 0, offset 3: no id", None)
