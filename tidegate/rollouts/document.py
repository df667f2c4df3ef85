"""A rollout as a document: what `--json` prints, and what tables are made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from functions.rollout.decisions import decide, evidence, safety_of
from functions.rollout.evidence.loss import ArmLoss
from functions.rollout.findings import counts_of
from functions.rollout.policy import Policy
from functions.rollout.state import ArmCounts, Decision, Phase, State
from functions.runtime.observability.histogram import LATENCIES
from tidegate.rollouts.actions import Found

Document = dict[str, Any]
_SILENT_SECONDS = 300.0
"""Longer than between two pings: nothing looks at the rollout."""


def document_of(found: Found, now: float | None = None) -> Document:
    """The rollout as it is."""
    now = time.time() if now is None else now
    state, policy = found.state, found.policy
    return {
        "model": state.model,
        "rollout": state.rollout,
        "phase": state.phase.value,
        "percent": state.percent,
        "steps": list(policy.steps),
        "elapsedSeconds": round(state.elapsed),
        "deadlineSeconds": round(policy.deadline),
        "stepElapsedSeconds": round(state.step_elapsed),
        "arms": [
            _arm("stable", state.stable, state.stable_counts, _traffic(state, 100 - state.percent), len(state.stable_keys))
            | _labelled(state, state.correctness.loss.rest),
            _arm("canary", state.canary, state.canary_counts, state.percent, len(state.canary_keys))
            | _labelled(state, state.correctness.loss.canary),
        ],
        "labels": _labels(state),
        "evidence": _evidence(state, policy),
        "problem": found.problem if state.running else "",
        "next": decide(state, policy, now).sentence,
        "silentSeconds": round(now - state.clock) if state.running and now - state.clock > _SILENT_SECONDS else 0,
        "ignored": {reason.value: count for reason, count in state.ignored.items() if count},
        "decisions": history_of(state),
    }


def history_of(state: State) -> list[Document]:
    """The decisions, the oldest first."""
    return [_decision(decision) for decision in state.decisions]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The upper bound, in seconds, of the bucket that this share of the values is in; None without values."""
    total, seen = sum(counts), 0
    for bound, count in zip((*LATENCIES, float("inf")), counts, strict=True):
        seen += count
        if total and seen >= share * total:
            return bound
    return None


def _traffic(state: State, percent: int) -> int:
    return {Phase.PROMOTED: 0, Phase.ROLLED_BACK: 100}.get(state.phase, percent)


def _arm(role: str, revision: str, counts: ArmCounts, percent: int, keys: int) -> Document:
    return {
        "role": role,
        "revision": revision,
        "percent": percent,
        "requests": counts.requests,
        "keys": keys,
        "errors": counts.errors,
        "rejections": counts.rejections,
        "slow": counts.slow,
        "cold": counts.cold,
        "forced": counts.forced,
        "p50Seconds": quantile(counts.latencies, 0.5),
        "p99Seconds": quantile(counts.latencies, 0.99),
    }


def _labelled(state: State, arm: ArmLoss) -> Document:
    """What labels say of an arm; nothing is known without one, and no class is wrong by the absolute error."""
    rate = arm.wrong / arm.keys if arm.keys and state.correctness.loss.kind == "log" else None
    return {"labelledKeys": arm.keys, "loss": arm.loss if arm.keys else None, "errorRate": rate}


def _labels(state: State) -> Document:
    predictions = state.correctness.predictions
    return {
        "loss": state.correctness.loss.kind,
        "waiting": predictions.waiting,
        "repeated": predictions.repeated,
        "unmatched": predictions.unmatched,
        "notComparable": predictions.incomparable,
    }


def _evidence(state: State, policy: Policy) -> list[Document]:
    """The evidence of each metric against the canary, and at the end that for it."""
    against = [
        {"metric": metric, "eValue": value, "threshold": 1 / policy.alpha, "counts": counts_of(state, metric), "for": "rollback"}
        for metric, value in evidence(state, policy).items()
    ]
    return [*against, *_favour(state, policy)]


def _favour(state: State, policy: Policy) -> Iterator[Document]:
    """The evidence for the canary. That it is more correct is for information, unless the policy asks for it."""
    correctness, threshold = policy.metrics.correctness, 1 / policy.beta
    if correctness is not None:
        found = {"metric": "better", "eValue": state.correctness.loss.better, "counts": counts_of(state, "correctness")}
        yield {**found, "threshold": threshold, "for": "promotion" if correctness.must_improve else "information"}
    if policy.maximum_errors is not None:
        counts = {"keys": state.exposed_keys, "failed": state.failed}
        value = safety_of(state, policy.maximum_errors)
        yield {"metric": "maximumErrors", "eValue": value, "counts": counts, "threshold": threshold, "for": "promotion"}


def _decision(decision: Decision) -> Document:
    counts: Mapping[str, int] = decision.counts
    return {
        "at": datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": decision.kind.value,
        "percent": decision.percent,
        "sentence": decision.sentence,
        "metric": decision.metric,
        "eValue": decision.e_value,
        "threshold": decision.threshold,
        "counts": dict(counts),
    }
