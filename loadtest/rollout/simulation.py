"""Rollouts of simulated traffic, one outcome and one look after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eventing.outcome import Outcome
from functions.rollout.codec import decode, encode
from functions.rollout.decisions import apply, decide, evidence, harm_of, safety_of
from functions.rollout.observation import observe
from functions.rollout.policy import Policy
from functions.rollout.state import Kind, State, start
from loadtest.rollout.traffic import CANARY, MODEL, ROLLOUT, STABLE, Run, Traffic

RAMP = (5, 20, 50)
ERRORS_ONLY = Policy.model_validate({"metrics": {"rejections": False, "drift": False, "disagreement": False, "correctness": False}})


def correctness_only(loss: str = "log") -> Policy:
    others = {"errors": False, "rejections": False, "drift": False, "disagreement": False}
    return Policy.model_validate({"metrics": {**others, "correctness": {"loss": loss}}})


CORRECTNESS_ONLY = correctness_only()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A rollout that is looked at after every outcome.

    The canary's percentage follows `ramp` in equal parts, or the rollout function's decisions if that is empty. Outcomes
    are delivered again with probability `duplicates`, and in another order. The state is written and read again every
    `restart` windows.
    """

    name: str
    traffic: Traffic
    policy: Policy = field(default_factory=lambda: ERRORS_ONLY)
    ramp: tuple[int, ...] = RAMP
    duplicates: float = 0.0
    restart: int = 0

    def percent(self, window: int, state: State) -> int:
        return self.ramp[window * len(self.ramp) // self.traffic.windows] if self.ramp else state.percent


Look = Callable[[State, Policy], float]


def harm(state: State, policy: Policy) -> float:
    """The evidence that a roll-back needs."""
    return harm_of(state, policy).e_value


def drift(state: State, policy: Policy) -> float:
    return evidence(state, policy)["drift"]


def better(state: State, policy: Policy) -> float:
    """The evidence that the canary is more correct."""
    return state.correctness.loss.better


def safety(state: State, policy: Policy) -> float:
    """The evidence that a promotion needs."""
    assert policy.maximum_errors is not None  # noqa: S101 a scenario of promotion has one
    return safety_of(state, policy.maximum_errors)


def looks(scenario: Scenario, random: np.random.Generator) -> Iterator[tuple[int, State]]:
    """The state after every outcome, with the number of requests until then."""
    run = Run(scenario.traffic, random)
    state = begin(scenario)
    delivered: list[Outcome] = []
    for window in range(scenario.traffic.windows):
        now = window + 2.0
        outcomes = list(run.outcomes(window, scenario.percent(window, state)))
        for outcome in _delivered(scenario, outcomes, delivered, random):
            state = observe(state, [outcome], scenario.policy, now)
            yield (window + 1) * scenario.traffic.requests, state
        if labels := run.labels(window):
            state = observe(state, [], scenario.policy, now, labels)
            yield (window + 1) * scenario.traffic.requests, state
        if scenario.restart and window % scenario.restart == 0:
            state = decode(encode(state))
        if not scenario.ramp:
            state = _decided(state, scenario.policy, now)
            if not state.running:
                return


def begin(scenario: Scenario) -> State:
    percent = scenario.ramp[0] if scenario.ramp else scenario.policy.steps[0]
    return start(rollout=ROLLOUT, model=MODEL, stable=STABLE, canary=CANARY, percent=percent, now=0.0)


def _delivered(scenario: Scenario, outcomes: list[Outcome], before: list[Outcome], random: np.random.Generator) -> list[Outcome]:
    if not scenario.duplicates:
        return outcomes
    again = [outcome for outcome in before[-12:] if random.random() < scenario.duplicates]
    before += outcomes
    mixed = outcomes + again
    return [mixed[index] for index in random.permutation(len(mixed))]


def _decided(state: State, policy: Policy, now: float) -> State:
    """With the decision carried out, except that a roll-back or promotion is left to the one who looks."""
    decision = decide(state, policy, now)
    return apply(state, decision) if decision.kind is Kind.ADVANCE else state


def highest(scenario: Scenario, seed: tuple[int, ...], look: Look = harm) -> float:
    """The greatest e-value at any look of one rollout."""
    return max(look(state, scenario.policy) for _, state in looks(scenario, np.random.default_rng(seed)))


class Detection(NamedTuple):
    """When a canary is rolled back: after so many requests, of which so many keys had a label; infinity if it is not."""

    requests: float = math.inf
    labelled: float = math.inf


def detected(scenario: Scenario, seed: tuple[int, ...]) -> Detection:
    """When the canary is rolled back, if it is until the traffic ends."""
    for requests, state in looks(scenario, np.random.default_rng(seed)):
        if decide(state, scenario.policy, 0.0).kind is Kind.ROLL_BACK:
            loss = state.correctness.loss
            return Detection(requests, loss.canary.keys + loss.rest.keys)
    return Detection()
