"""What outcomes add to the state of a rollout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from eventing.distinct import Distinct
from eventing.outcome import MOST_KEYS, ArmOutcome, Outcome, ShadowOutcome
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.policy import Policy, Tolerance
from functions.rollout.routers import Ignored
from functions.rollout.state import MOST_COUNT, State

LONGEST_GAP_SECONDS = 300.0
"""As much of the time between two looks is counted. Outcomes come every second while there is traffic."""
_FUTURE_SECONDS = 3_600.0
_NOTHING = Distinct()


def observe(state: State, outcomes: Iterable[Outcome], policy: Policy, now: float) -> State:
    """The state after these outcomes. An outcome that was applied before, or is not about this rollout, is only counted.

    A rollout that is over does not change.
    """
    if not state.running:
        return state
    gap = min(max(now - state.clock, 0.0), LONGEST_GAP_SECONDS)
    # A rollout may have been started by a machine whose clock is ahead: nothing that follows is from before it.
    started = min(state.started, now)
    state = replace(state, started=started, clock=now, elapsed=state.elapsed + gap, step_elapsed=state.step_elapsed + gap)
    for outcome in outcomes:
        reason = _reason_to_ignore(state, outcome, now)
        if reason is None:
            state = _add(state, outcome, policy)
        else:
            count = min(state.ignored[reason] + 1, MOST_COUNT)
            state = replace(state, ignored={**state.ignored, reason: count})
    return state


def _reason_to_ignore(state: State, outcome: Outcome, now: float) -> Ignored | None:
    if outcome.model != state.model or outcome.rollout != state.rollout:
        return Ignored.FOREIGN
    if outcome.started < state.started:
        return Ignored.EARLY
    if outcome.started > now + _FUTURE_SECONDS:
        return Ignored.FUTURE
    return state.routers.check(outcome.router, outcome.sequence, outcome.started)


def _add(state: State, outcome: Outcome, policy: Policy) -> State:
    """The state after an outcome that counts. Arms other than the canary are compared with it together."""
    changes: dict[str, Any] = {"routers": state.routers.add(outcome.router, outcome.sequence, outcome.started)}
    arms = {arm.revision: arm for arm in outcome.arms}
    stable, canary = arms.get(state.stable), arms.get(state.canary)
    if stable is not None:
        changes |= {"stable_counts": state.stable_counts.add(stable), "stable_keys": _union(state.stable_keys, stable.keys)}
    if canary is not None:
        rest = [arm for arm in outcome.arms if arm is not canary and arm.percent]
        changes |= _exposure(state, canary, outcome) | _evidence(state, policy, canary, rest)
    if outcome.shadow is not None and outcome.shadow.revision == state.canary:
        changes["disagreement"] = _compare(state.disagreement, outcome.shadow)
    return replace(state, **changes)


def _exposure(state: State, canary: ArmOutcome, outcome: Outcome) -> dict[str, Any]:
    """What the canary had, for the policy's minimum and for promotion."""
    errors = canary.bad_keys.get("errors", ())
    listed = sum(len(keys) for arm in outcome.arms for keys in arm.bad_keys.values())
    unlisted = max(canary.errors - len(errors), 0) if listed >= MOST_KEYS else 0
    return {
        "canary_counts": state.canary_counts.add(canary),
        "canary_keys": _union(state.canary_keys, canary.keys),
        "step_keys": _union(state.step_keys, canary.keys) if canary.percent == state.percent else state.step_keys,
        "failed_keys": _with(state.failed_keys, errors),
        "unlisted": min(state.unlisted + unlisted, MOST_COUNT),
    }


def _evidence(state: State, policy: Policy, canary: ArmOutcome, rest: Sequence[ArmOutcome]) -> dict[str, Any]:
    total = canary.percent + sum(arm.percent for arm in rest)
    weight = canary.percent / total if total else 0.0
    comparisons = {
        name: comparison.observe(
            canary.bad_keys.get(name, ()),
            [key for arm in rest for key in arm.bad_keys.get(name, ())],
            weight=weight,
            tolerated=_tolerated(policy, name),
        )
        for name, comparison in state.comparisons.items()
    }
    stable = [arm for arm in rest if arm.revision == state.stable]
    return {"comparisons": comparisons, "drift": state.drift.observe(_scores([canary]), _scores(rest), _scores(stable), weight=weight)}


def _compare(disagreement: Disagreement, shadow: ShadowOutcome) -> Disagreement:
    agreeing = [digest for digest, differs in shadow.keys if not differs]
    return disagreement.observe(agreeing, [digest for digest, differs in shadow.keys if differs])


def _scores(arms: Iterable[ArmOutcome]) -> dict[int, float]:
    """The first score of each key."""
    scores: dict[int, float] = {}
    for arm in arms:
        for digest, score in zip(arm.score_keys, arm.scores, strict=False):
            scores.setdefault(digest, score)
    return scores


def _union(left: Distinct, right: Distinct) -> Distinct:
    if right == _NOTHING:
        return left
    union = left.copy()
    union.merge(right)
    return union


def _with(keys: Distinct, digests: Sequence[int]) -> Distinct:
    if not digests:
        return keys
    more = keys.copy()
    for digest in digests:
        more.add(digest)
    return more


def _tolerated(policy: Policy, name: str) -> float:
    tolerance: Tolerance | None = getattr(policy.metrics, name)
    return 1.0 if tolerance is None else tolerance.tolerated_ratio
