"""One turn of a rollout: from a Knative Service and new outcomes to the one patch that writes what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventing.label import Label
from eventing.outcome import Outcome
from functions.rollout import announcements
from functions.rollout.decisions import apply, decide
from functions.rollout.errors import InvalidPolicy, InvalidState
from functions.rollout.observation import observe
from functions.rollout.policy import Policy, policy_of
from functions.rollout.service import adopt, annotate, move, rollout_of
from functions.rollout.state import State

# Outcomes are applied and a failing canary is rolled back, but it gets no more traffic.
_WITHOUT_POLICY = Policy(paused=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What follows.

    Without a `patch` there is nothing to write: the Service has no rollout, or its rollout is over. `ignored` is the
    number of outcomes that are not about the rollout, or were applied before. `problem` is for a person: an annotation
    that cannot be read.
    """

    patch: Mapping[str, Any] | None = None
    state: State | None = None
    ignored: int = 0
    problem: str = ""


def turn(service: Mapping[str, Any], outcomes: Sequence[Outcome], now: float, labels: Sequence[Label] = ()) -> Turn:
    """Apply outcomes and labels to the rollout of a Knative Service; without any, only time has passed."""
    try:
        before = rollout_of(service)
    except InvalidState as error:
        return Turn(problem=str(error))
    if before is None or not before.running:
        return Turn(state=before)
    policy, problem = policy_or_pause(service)
    seen = observe(adopt(service, before, now), outcomes, policy, now, labels)
    after = apply(seen, decide(seen, policy, now))
    moves = after.percent != seen.percent or after.running != seen.running
    patch = move(service, after) if moves else annotate(service, after)
    patch["metadata"]["annotations"] |= announcements.added(service, announcements.of_decisions(before, after))
    ignored = sum(seen.ignored.values()) - sum(before.ignored.values())
    return Turn(patch=patch, state=after, ignored=ignored, problem=problem)


def needs_turn(service: Mapping[str, Any]) -> bool:
    """Whether time alone can change something: the rollout is running, or there is something to report."""
    try:
        state = rollout_of(service)
    except InvalidState:
        return True
    return (state is not None and state.running) or bool(announcements.waiting(service))


def policy_or_pause(service: Mapping[str, Any]) -> tuple[Policy, str]:
    """The policy that applies, and a problem with that of the annotations.

    One that cannot be read pauses the rollout; a failing canary is rolled back nevertheless.
    """
    try:
        return policy_of(service["metadata"].get("annotations")), ""
    except InvalidPolicy as error:
        return _WITHOUT_POLICY, f"The rollout is paused: {error}"
