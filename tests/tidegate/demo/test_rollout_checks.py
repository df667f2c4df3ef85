"""The checks of a rollout must be able to fail: each meets the fault that it looks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tidegate.demo import rollout_checks
from tidegate.demo.checks import Check
from tidegate.demo.following import Step
from tidegate.demo.rollout import Rollout
from tidegate.demo.rollout_checks import Answered

STICKY, ONWARD, SHARE = (
    "stream: each key stays with one version while the weights are constant",
    "stream: keys move to the canary only, as it grows",
    "stream: the canary has its percentage of the keys",
)
# 5% for ten seconds, then 50%. What was published in the second after a change may have either weights.
GROWING = [Step(percent=5, since=0, until=10_000), Step(percent=50, since=10_200)]
BACK = [Step(percent=5, since=0, until=10_000), Step(percent=0, since=10_200)]
ROLLOUT = Rollout(
    stable="v1",
    canary="v2",
    revisions={"v1": "one", "v2": "two"},
    policy="{steps: [5, 20, 100], metrics: {correctness: {minimumLabels: 100}}}",
)


@dataclass
class Followed:
    """A rollout that was followed."""

    document: dict[str, Any]
    decisions: list[dict[str, Any]]
    steps: list[Step] = field(default_factory=lambda: BACK)


def broken(*found: Check) -> list[str]:
    return [check.name for check in found if not check.kept]


def answer(key: str, version: str, published: float, seconds: float = 0.1) -> Answered:
    return Answered(key=key, version=version, published=published, written=published + seconds * 1e3)


def sticky(*answers: Answered, steps: list[Step] = GROWING) -> list[str]:
    return broken(*rollout_checks.stickiness(answers, steps, "v2"))


def fair(percent: int, published: float) -> Iterable[Answered]:
    return (answer(f"key {number}", "v2" if number % 100 < percent else "v1", published) for number in range(1_000))


def test_key_that_moves_when_the_canary_grows_is_sticky() -> None:
    assert not sticky(answer("a", "v1", 2_000), answer("a", "v2", 12_000), answer("b", "v1", 2_000), answer("b", "v1", 12_000))


@pytest.mark.parametrize("published", [2_000, 12_000])
def test_key_with_two_versions_at_one_weight_is_found(published: float) -> None:
    assert sticky(answer("a", "v1", published), answer("a", "v2", published + 1_000)) == [STICKY]


def test_key_that_moves_back_is_found_wherever_it_does() -> None:
    assert sticky(answer("a", "v2", 9_950), answer("a", "v1", 10_050)) == [ONWARD]
    assert sticky(answer("a", "v2", 2_000), answer("a", "v1", 12_000)) == [ONWARD]


def test_keys_move_back_in_a_roll_back_and_not_before() -> None:
    assert not sticky(answer("a", "v2", 2_000), answer("a", "v1", 12_000), steps=BACK)
    assert ONWARD in sticky(answer("a", "v2", 2_000), answer("a", "v1", 3_000), steps=BACK)


def test_without_answers_nothing_is_promised() -> None:
    assert sticky() == [STICKY, ONWARD]
    assert broken(rollout_checks.shares([], GROWING, "v2")) == [SHARE]


def test_answers_around_a_change_belong_to_neither_step() -> None:
    early, late = answer("a", "v1", 9_000, seconds=1.5), answer("a", "v2", 11_000)
    assert rollout_checks.at_each_step([early, late], GROWING) == {5: [], 50: []}


def test_share_of_the_keys_follows_the_steps() -> None:
    both = [*fair(5, 2_000), *fair(50, 12_000)]
    assert not broken(rollout_checks.shares(both, GROWING, "v2"))
    assert broken(rollout_checks.shares([*fair(5, 2_000), *fair(40, 12_000)], GROWING, "v2")) == [SHARE]
    assert broken(rollout_checks.shares([*fair(10, 2_000), *fair(50, 12_000)], GROWING, "v2")) == [SHARE]


def decision(kind: str, percent: int, metric: str = "step") -> dict[str, Any]:
    return {"kind": kind, "percent": percent, "metric": metric, "eValue": 120.0, "threshold": 100.0, "sentence": "It is."}


def promoted(*decisions: dict[str, Any], phase: str = "promoted", labelled: int = 200) -> list[str]:
    arms = [{"labelledKeys": 700}, {"labelledKeys": labelled}]
    return broken(*rollout_checks.promotion(Followed({"phase": phase, "next": "…", "arms": arms}, list(decisions)), ROLLOUT))


def test_promotion_has_all_steps_by_the_function_itself() -> None:
    name = ["rollout: the rollout function promotes v2, step by step"]
    assert not promoted(decision("advance", 20), decision("hold", 20), decision("promote", 100, "errors"))
    assert promoted(decision("promote", 100)) == name
    assert promoted(decision("advance", 20), phase="running") == name
    assert promoted(phase="running") == name
    assert promoted(decision("advance", 20), decision("promote", 100, "manual")) == name


def test_promotion_without_outcomes_is_found() -> None:
    both = (decision("advance", 20), decision("promote", 100, "errors"))
    assert promoted(*both, labelled=99) == ["rollout: the outcomes of at least 100 keys of each version are known"]


def rolled_back(
    *answers: Answered, metric: str = "correctness", phase: str = "rolled-back", errors: int = 0, kind: str = "roll-back"
) -> list[str]:
    arms = [{"requests": 100, "errors": 0}, {"requests": 5, "errors": errors}]
    followed = Followed({"phase": phase, "next": "…", "arms": arms}, [decision(kind, 0, metric)])
    return broken(*rollout_checks.roll_back(answers, followed, "v3"))


def test_roll_back_is_by_the_labels_and_without_errors() -> None:
    after = answer("a", "v2", 12_000)
    by_labels, healthy, gone = (
        "rollout: the rollout function rolls v3 back by the labels",
        "rollout: v3 has answered without an error",
        "rollout: no answer of v3 after it",
    )
    assert not rolled_back(answer("a", "v3", 2_000), after)
    assert rolled_back(after, errors=1) == [healthy]
    assert rolled_back(after, metric="errors") == [by_labels, gone]
    assert rolled_back(after, phase="promoted") == [by_labels, gone]
    assert rolled_back(after, answer("b", "v3", 12_000)) == [gone]
    assert rolled_back() == [gone]
