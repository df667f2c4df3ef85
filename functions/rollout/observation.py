"""What outcomes and labels add to the state of a rollout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from eventing.distinct import Distinct
from eventing.label import Label, prediction_digest
from eventing.outcome import MOST_KEYS, ArmOutcome, Outcome, ShadowOutcome
from functions.rollout.evidence.predictions import Known, Scored, short
from functions.rollout.evidence.proportion import Disagreement
from functions.rollout.policy import Policy, Tolerance
from functions.rollout.routers import Ignored
from functions.rollout.state import MOST_COUNT, State
from functions.runtime.knative.keys import digest_of, key_hash, salt_of

LONGEST_GAP_SECONDS = 300.0
"""As much of the time between two looks is counted. Outcomes come every second while there is traffic."""
_FUTURE_SECONDS = 3_600.0
_NOTHING = Distinct()


def observe(state: State, outcomes: Iterable[Outcome], policy: Policy, now: float, labels: Sequence[Label] = ()) -> State:
    """The state after these outcomes, and then these labels.

    An outcome that was applied before, or is not about this rollout, is only counted.

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
    return _label(state, labels, policy)


def _label(state: State, labels: Sequence[Label], policy: Policy) -> State:
    """The state with what happened, as far as the policy compares it."""
    if policy.metrics.correctness is None or not labels:
        return state
    salt = salt_of(state.model, state.rollout)
    known = [_known(label, salt) for label in labels if label.model == state.model]
    return replace(state, correctness=state.correctness.label(known, kind=policy.metrics.correctness.loss))


def _known(label: Label, salt: bytes) -> Known:
    if label.prediction_id is not None:
        return Known(label.value, id=short(prediction_digest(label.prediction_id)))
    return Known(label.value, key=digest_of(key_hash(salt, str(label.key).encode("utf-8", "surrogatepass"))))


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
    found: dict[str, Any] = {"comparisons": comparisons}
    found["drift"] = state.drift.observe(_scores([canary]), _scores(rest), _scores(stable), weight=weight)
    # The shares of a Knative Service are percentages of 100.
    if policy.metrics.correctness is not None and total == 100:
        kind = policy.metrics.correctness.loss
        found["correctness"] = state.correctness.observe(_predictions([canary]), _predictions(rest), percent=canary.percent, kind=kind)
    return found


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


def _predictions(arms: Iterable[ArmOutcome]) -> dict[int, Scored]:
    """The first prediction of each key. A router of an earlier version reports no ids."""
    found: dict[int, Scored] = {}
    for arm in arms:
        ids = chain(arm.score_ids, repeat(0))
        for digest, score, prediction in zip(arm.score_keys, arm.scores, ids, strict=False):
            found.setdefault(digest, Scored(prediction, score))
    return found


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
