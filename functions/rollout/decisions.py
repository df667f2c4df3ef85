"""The rules of a rollout: what follows from its state."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import takewhile

from eventing.distinct import Distinct
from eventing.outcome import BAD_OUTCOMES
from functions.rollout.evidence.mixture import average
from functions.rollout.evidence.proportion import evidence_below
from functions.rollout.findings import counts_of, finding, losses, number
from functions.rollout.policy import Policy
from functions.rollout.state import MOST_DECISIONS, Decision, Kind, Phase, State

# What errors have of alpha if other metrics may lead to a roll-back too: errors are the most frequent fault, and with
# an equal share each further metric would delay their detection.
_ERRORS_SHARE = 0.7


def decide(state: State, policy: Policy, now: float) -> Decision:
    """What follows from the state. Evidence against the canary comes before all else, and at any time."""
    if not state.running:
        return Decision(
            kind=Kind.NONE, sentence=f"The rollout is over: it was {state.phase.value.replace('-', ' ')}.", percent=state.percent, at=now
        )
    harm = harm_of(state, policy)
    decision = _roll_back(state, policy, harm) or _go_on(state, policy, now, harm)
    return replace(decision, at=now)


def apply(state: State, decision: Decision) -> State:
    """The state after a decision was carried out. A reason to hold is remembered if it is news."""
    if decision.kind is Kind.NONE or (decision.kind is Kind.HOLD and not _is_news(state, decision)):
        return state
    state = replace(state, decisions=(*state.decisions, decision)[-MOST_DECISIONS:])
    if decision.kind is Kind.HOLD:
        return state
    if decision.percent != state.percent:
        state = replace(state, percent=decision.percent, step_elapsed=0.0, step_keys=Distinct())
    return replace(state, phase=decision.phase)


def _is_news(state: State, hold: Decision) -> bool:
    """Whether a reason to hold is a new one.

    Each counts once in a step, although reasons alternate: evidence goes up and down about its threshold, and office
    hours end each day. So a step has fewer reasons than a state remembers decisions.
    """
    known = list(takewhile(lambda one: one.kind in (Kind.HOLD, Kind.INCONCLUSIVE), reversed(state.decisions)))
    return len(known) < MOST_DECISIONS and hold.metric not in {one.metric for one in known}


@dataclass(frozen=True, slots=True)
class Harm:
    """All that counts towards a roll-back: the mean of the e-values by their shares, and the metric that says most."""

    e_value: float
    metric: str
    suspicious: bool


def evidence(state: State, policy: Policy) -> dict[str, float]:
    """The e-value of each metric that the policy has not switched off."""
    e_values = {name: state.comparisons[name].e_value for name in BAD_OUTCOMES if name in policy.compared}
    if policy.metrics.drift is not None:
        e_values["drift"] = state.drift.e_value
    if policy.metrics.disagreement is not None:
        e_values["disagreement"] = state.disagreement.e_value(tolerated=policy.metrics.disagreement.tolerated)
    if policy.metrics.correctness is not None:
        e_values["correctness"] = state.correctness.loss.worse
    return e_values


def shares_of(metrics: Collection[str]) -> dict[str, float]:
    """The share of alpha of each metric that may lead to a roll-back. They are fixed by the policy, not by the data."""
    if "errors" not in metrics or len(metrics) == 1:
        return dict.fromkeys(metrics, 1 / max(len(metrics), 1))
    return {**dict.fromkeys(metrics, (1 - _ERRORS_SHARE) / (len(metrics) - 1)), "errors": _ERRORS_SHARE}


def harm_of(state: State, policy: Policy) -> Harm:
    """The evidence for a roll-back."""
    held = _holding_metrics(policy)
    e_values = {name: value for name, value in evidence(state, policy).items() if name not in held}
    shares = shares_of(e_values)
    mean = average(e_values, shares)
    # Half way, in powers of ten, to a roll-back: not enough for one, too much for a larger share.
    suspicious = mean >= 1 / math.sqrt(policy.alpha)
    return Harm(mean, max(e_values, key=lambda name: shares[name] * e_values[name], default=""), suspicious)


def _holding_metrics(policy: Policy) -> set[str]:
    metrics = {"drift": policy.metrics.drift, "disagreement": policy.metrics.disagreement, "correctness": policy.metrics.correctness}
    return {name for name, metric in metrics.items() if metric is not None and metric.then == "hold"}


def _roll_back(state: State, policy: Policy, harm: Harm) -> Decision | None:
    threshold = 1 / policy.alpha
    if harm.e_value < threshold:
        return None
    counts = counts_of(state, harm.metric)
    return Decision(
        kind=Kind.ROLL_BACK,
        sentence=f"{state.canary} is rolled back: {finding(state, harm.metric, counts)}. "
        f"The evidence is {number(harm.e_value)}; {number(threshold)} is enough.",
        percent=0,
        phase=Phase.ROLLED_BACK,
        metric=harm.metric,
        e_value=harm.e_value,
        threshold=threshold,
        counts=counts,
    )


def _go_on(state: State, policy: Policy, now: float, harm: Harm) -> Decision:
    """What follows for a canary that has not failed. A promotion for which nothing is missing comes before the deadline."""
    missing = _incomplete(state, policy) or _held(state, policy, now, harm)
    if missing is None and state.phase is Phase.RUNNING and policy.next_step(state.percent) == 100:
        return _promote(state, policy)
    return _deadline(state, policy, now, harm) or missing or _advance(state, policy)


def _promote(state: State, policy: Policy) -> Decision:
    counts = {"keys": state.exposed_keys, "failed": state.failed}
    if policy.maximum_errors is None:
        sentence = f"{state.canary} is promoted: all steps are complete, and nothing speaks against it."
        return Decision(kind=Kind.PROMOTE, sentence=sentence, percent=100, phase=Phase.PROMOTED, metric="steps", counts=counts)
    return Decision(
        kind=Kind.PROMOTE,
        sentence=f"{state.canary} is promoted: fewer than {policy.maximum_errors:.2%} of keys get an error from it "
        f"({counts['failed']} of at least {counts['keys']} keys did), and nothing speaks against it.",
        percent=100,
        phase=Phase.PROMOTED,
        metric="errors",
        e_value=safety_of(state, policy.maximum_errors),
        threshold=1 / policy.beta,
        counts=counts,
    )


def _deadline(state: State, policy: Policy, now: float, harm: Harm) -> Decision | None:
    if state.phase is Phase.INCONCLUSIVE:
        sentence = f"{state.canary} keeps {_share(state.percent)}: the deadline has passed, and a person has to decide ({_by_hand(state)})."
        return Decision(kind=Kind.HOLD, sentence=sentence, percent=state.percent, metric="deadline")
    if state.elapsed < policy.deadline:
        return None
    then = policy.at_deadline
    if then == "promote" and (harm.suspicious or _waiting(state, policy, now)):
        then = "hold"
    percent, phase, done = {
        "hold": (state.percent, Phase.INCONCLUSIVE, f"keeps {_share(state.percent)}"),
        "roll-back": (0, Phase.ROLLED_BACK, "is rolled back"),
        "promote": (100, Phase.PROMOTED, "is promoted"),
    }[then]
    keys = state.exposed_keys
    had = f"It had at least {keys} keys" if keys else "It had no traffic"
    return Decision(
        kind=Kind.INCONCLUSIVE,
        sentence=f"{state.canary} {done}: the rollout has reached its deadline without a decision. {had}.",
        percent=percent,
        phase=phase,
        metric="deadline",
        e_value=harm.e_value,
        threshold=1 / policy.alpha,
        counts={"keys": keys, "failed": state.failed},
    )


def _incomplete(state: State, policy: Policy) -> Decision | None:
    keys, seconds = state.exposed_keys_of_step, state.step_elapsed
    if keys >= policy.minimum_keys and seconds >= policy.minimum_duration:
        return None
    return Decision(
        kind=Kind.NONE,
        sentence=f"{state.canary} has {_share(state.percent)} for {seconds:.0f} of {policy.minimum_duration:.0f} s, "
        f"with at least {keys} of {policy.minimum_keys} keys.",
        percent=state.percent,
        metric="step",
        counts={"keys": keys},
    )


def _held(state: State, policy: Policy, now: float, harm: Harm) -> Decision | None:
    """The reason why a complete step does not end."""
    e_values = evidence(state, policy)
    for metric in sorted(_holding_metrics(policy)):
        if e_values[metric] >= 1 / policy.alpha:
            counts = counts_of(state, metric)
            return _hold(state, metric, finding(state, metric, counts), e_values[metric], 1 / policy.alpha, counts)
    if harm.suspicious:
        counts = counts_of(state, harm.metric)
        reason = f"{finding(state, harm.metric, counts)}, which is not enough to roll it back"
        return _hold(state, harm.metric, reason, harm.e_value, 1 / policy.alpha, counts)
    if waiting := _waiting(state, policy, now):
        return _hold(state, *waiting)
    following = policy.next_step(state.percent)
    if following is None:
        return _hold(state, "steps", f"this is the last step, and a person has to decide ({_by_hand(state)})")
    if following == 100 and (unproven := _unproven(state, policy)):
        return unproven
    if following == 100 and policy.maximum_errors is not None and (safety := safety_of(state, policy.maximum_errors)) < 1 / policy.beta:
        keys, failed = state.exposed_keys, state.failed
        reason = f"{failed} of at least {keys} keys with an error do not show yet that fewer than {policy.maximum_errors:.2%} get one"
        return _hold(state, "maximumErrors", reason, safety, 1 / policy.beta, {"keys": keys, "failed": failed})
    return None


def _unproven(state: State, policy: Policy) -> Decision | None:
    """What is missing of the labels for a promotion."""
    correctness = policy.metrics.correctness
    if correctness is None:
        return None
    counts = counts_of(state, "correctness")
    if counts["canary"] < correctness.minimum_labels:
        reason = f"{counts['canary']} of its keys have a label, of {correctness.minimum_labels} that a promotion needs"
        return _hold(state, "labels", reason, counts=counts)
    better, threshold = state.correctness.loss.better, 1 / policy.beta
    if correctness.must_improve and better < threshold:
        return _hold(state, "correctness", f"the labels do not show yet that it is better: {losses(state)}", better, threshold, counts)
    return None


def _waiting(state: State, policy: Policy, now: float) -> tuple[str, str] | None:
    """What the policy makes a canary wait for, whatever its outcomes: the rule, and a sentence."""
    if policy.paused:
        return "paused", "the policy pauses the rollout"
    if state.percent in policy.pause_at and state.approved < state.percent:
        return "approval", f"a person has to approve of more than {state.percent}% (tidegate rollout resume {state.model})"
    if policy.hours is not None and now not in policy.hours:
        return "hours", f"it gets more only on {policy.hours}"
    return None


def _hold(
    state: State, metric: str, reason: str, e_value: float = 1.0, threshold: float = 0.0, counts: dict[str, int] | None = None
) -> Decision:
    return Decision(
        kind=Kind.HOLD,
        sentence=f"{state.canary} keeps {_share(state.percent)}: {reason}.",
        percent=state.percent,
        metric=metric,
        e_value=e_value,
        threshold=threshold,
        counts=counts or {},
    )


def _advance(state: State, policy: Policy) -> Decision:
    percent = policy.next_step(state.percent) or state.percent
    keys = state.exposed_keys_of_step
    return Decision(
        kind=Kind.ADVANCE,
        sentence=f"{state.canary} gets {percent}%: nothing speaks against it after at least {keys} keys with {_share(state.percent)}.",
        percent=percent,
        metric="step",
        counts={"keys": keys},
    )


def safety_of(state: State, bound: float) -> float:
    """The evidence that fewer keys than this share get an error from the canary."""
    return evidence_below(state.failed, state.exposed_keys, bound=bound)


def _by_hand(state: State) -> str:
    return f"tidegate rollout promote {state.model}, or abort {state.model}"


def _share(percent: int) -> str:
    return f"{percent}%" if percent else "copies of requests"
