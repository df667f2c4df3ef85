"""What the evidence of a metric says, for a person."""

from __future__ import annotations

from functions.rollout.evidence.loss import ArmLoss
from functions.rollout.state import State

NAMES_OF_LOSSES = {"log": "log loss", "absolute": "absolute error"}


def counts_of(state: State, metric: str) -> dict[str, int]:
    if metric in state.comparisons:
        return {"canary": state.comparisons[metric].canary, "others": state.comparisons[metric].rest}
    if metric == "drift":
        return {"canary": sum(state.drift.canary), "others": sum(state.drift.rest)}
    if metric == "correctness":
        return {"canary": state.correctness.loss.canary.keys, "others": state.correctness.loss.rest.keys}
    return {"pairs": state.disagreement.pairs, "different": state.disagreement.different}


_BAD = {"errors": "an error", "rejections": "a rejection", "slow": "a slow response"}


def finding(state: State, metric: str, counts: dict[str, int]) -> str:
    """What the evidence of a metric says, as the rest of a sentence."""
    if metric == "drift":
        return f"its scores are distributed differently ({counts['canary']} of it were compared with {counts['others']})"
    if metric == "correctness":
        return f"its predictions come true less often: {losses(state)}"
    if metric == "disagreement":
        return f"it answers {counts['different']} of {counts['pairs']} keys differently"
    both = counts["canary"] + counts["others"]
    share = f"which has had up to {state.percent}% of the keys"
    return f"of {both} keys with {_BAD[metric]}, {counts['canary']} had it from this revision, {share}"


def losses(state: State) -> str:
    """The losses of both arms, as the rest of a sentence."""
    loss = state.correctness.loss
    return f"{NAMES_OF_LOSSES[loss.kind]} {_loss(loss.canary, loss.kind)} labelled keys of it, {_loss(loss.rest, loss.kind)} of the others"


def _loss(arm: ArmLoss, kind: str) -> str:
    wrong = f" with {arm.wrong / arm.keys:.1%} wrong" if kind == "log" and arm.keys else ""
    return f"{arm.loss:.4g}{wrong} in {arm.keys}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"
