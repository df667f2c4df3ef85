from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.outcome import Outcome, from_event
from functions.router.outcomes import observer as observing
from functions.router.outcomes.observer import Observer
from functions.router.outcomes.sample import Draw
from functions.router.outcomes.window import Observed
from functions.runtime.knative.traffic import Arm, RoutedModel


class Outcomes:
    """An observer, and the outcomes that it has made."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.deleted: set[str] = set()
        self.observer = Observer(executor, self._put, lambda name: name not in self.deleted, instance="router-1")
        self.made: list[Outcome] = []
        self.ended = asyncio.Event()

    def _put(self, message: Message) -> None:
        (event,) = http.decode(message, Mode.BINARY)
        self.made.append(from_event(event))
        self.ended.set()

    def call(self, model: RoutedModel, revision: str, key: int = 1, status: int = 200) -> None:
        observed = self.observer.model(model)
        if observed is not None:
            observed.window(model).add(Observed(revision, (key,), status, 0.01, cold=False, draw=Draw(1, 0.5)))


@pytest.fixture
async def outcomes() -> AsyncIterator[Outcomes]:
    with ThreadPoolExecutor(1) as executor:
        yield Outcomes(executor)


def model(*percents: int, name: str = "m", rollout: str = "") -> RoutedModel:
    arms = tuple(Arm(revision=f"{name}-{number}", tags=(f"t{number}",), percent=percent, url="") for number, percent in enumerate(percents))
    return RoutedModel(name=name, arms=arms, stable=arms[0], canaries=arms[1:], salt=b"", rollout=rollout)


async def test_each_window_has_one_split(outcomes: Outcomes) -> None:
    before, after = model(95, 5), model(80, 20)
    outcomes.call(before, "m-1")
    outcomes.call(after, "m-1")
    # In flight during the change: it was assigned by the weights of before.
    outcomes.call(before, "m-0")
    # As the table makes it again after a change that is none of the split's.
    outcomes.call(model(80, 20), "m-0")
    await outcomes.observer.close()
    assert [[(arm.percent, arm.requests) for arm in outcome.arms] for outcome in outcomes.made] == [
        [(95, 1), (5, 1)],
        [(80, 1), (20, 1)],
    ]
    assert [outcome.sequence for outcome in outcomes.made] == [1, 2]


async def test_a_key_is_bad_once_through_the_ramp_of_a_rollout(outcomes: Outcomes) -> None:
    for split in (model(95, 5, rollout="a"), model(80, 20, rollout="a"), model(80, 20, rollout="b")):
        outcomes.call(split, "m-1", key=7, status=500)
        await outcomes.observer.close()
    found = [(outcome.rollout, outcome.arms[1].errors, outcome.arms[1].bad_keys) for outcome in outcomes.made]
    assert found == [("a", 1, {"errors": [7]}), ("a", 1, {}), ("b", 1, {"errors": [7]})]


async def test_a_key_that_stays_bad_is_listed_again(outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event may be lost; without this, so would be the keys in it, and a canary that fails them all would be promoted."""
    split, now = model(95, 5, rollout="a"), monotonic()
    monkeypatch.setattr(observing, "monotonic", lambda: now)
    for seconds in (0.0, 1.0, 30.0, 70.0, 1.0):
        now += seconds
        outcomes.call(split, "m-1", key=7, status=500)
        await outcomes.observer.close()
    assert [outcome.arms[1].bad_keys for outcome in outcomes.made] == [{"errors": [7]}, {}, {}, {"errors": [7]}, {}]


async def test_models_are_counted_apart(outcomes: Outcomes) -> None:
    for split in (model(100), model(100, name="n"), model(100)):
        outcomes.call(split, split.stable.revision)
    await outcomes.observer.close()
    assert [(outcome.model, outcome.sequence, outcome.arms[0].requests) for outcome in outcomes.made] == [("m", 1, 2), ("n", 1, 1)]
    assert {outcome.router for outcome in outcomes.made} == {"router-1"}


async def test_a_window_ends_by_itself(outcomes: Outcomes) -> None:
    outcomes.call(model(100), "m-0")
    await outcomes.ended.wait()
    (outcome,) = outcomes.made
    assert outcome.seconds > 0
    outcomes.call(model(100), "m-0")
    await outcomes.observer.close()
    assert outcomes.made[1].started > outcome.started


async def test_calls_that_began_before_a_start_are_cold(outcomes: Outcomes) -> None:
    observed = outcomes.observer.model(model(50, 50))
    assert observed is not None
    began = monotonic()
    assert not observed.is_cold("m-1", began)
    observed.started("m-1")
    assert observed.is_cold("m-1", began)
    assert not observed.is_cold("m-0", began)
    assert not observed.is_cold("m-1", monotonic() + 1)


async def test_a_split_of_too_many_arms_has_no_outcome(outcomes: Outcomes) -> None:
    outcomes.call(model(*[5] * 20), "m-3")
    await outcomes.observer.close()
    assert outcomes.made == []


async def test_a_deleted_model_is_forgotten_and_its_numbers_are_not_used_again(outcomes: Outcomes) -> None:
    first, other = model(100), model(100, name="n")
    for _ in range(2):
        outcomes.call(first, "m-0")
        await outcomes.observer.close()
    before = outcomes.observer.model(first)
    outcomes.deleted = {"m"}
    outcomes.call(other, "n-0")
    outcomes.deleted = set()
    outcomes.call(first, "m-0")
    assert outcomes.observer.model(first) is not before
    await outcomes.observer.close()
    assert [outcome.sequence for outcome in outcomes.made if outcome.model == "m"] == [1, 2, 3]


async def test_a_deleted_model_is_kept_until_its_windows_have_ended(outcomes: Outcomes) -> None:
    outcomes.call(model(100), "m-0")
    outcomes.deleted = {"m"}
    outcomes.call(model(100, name="n"), "n-0")
    await outcomes.observer.close()
    assert sorted(outcome.model for outcome in outcomes.made) == ["m", "n"]
