"""Decisions as events for other functions and people."""

from __future__ import annotations

from hashlib import blake2b

from eventing.event import Event
from eventing.types import (
    ROLLOUT_ADVANCED,
    ROLLOUT_HELD,
    ROLLOUT_INCONCLUSIVE,
    ROLLOUT_PROMOTED,
    ROLLOUT_ROLLED_BACK,
    ROLLOUT_STARTED,
)
from functions.rollout.state import Decision, Kind, State

_TYPES = {
    Kind.ADVANCE: ROLLOUT_ADVANCED,
    Kind.HOLD: ROLLOUT_HELD,
    Kind.PROMOTE: ROLLOUT_PROMOTED,
    Kind.ROLL_BACK: ROLLOUT_ROLLED_BACK,
    Kind.INCONCLUSIVE: ROLLOUT_INCONCLUSIVE,
}


def started(state: State) -> Event:
    """The event of a rollout's start."""
    data = {"rollout": state.rollout, "stable": state.stable, "canary": state.canary, "percent": state.percent}
    return _event(state, ROLLOUT_STARTED, state.started, data)


def decided(state: State, decision: Decision) -> Event:
    """The event of a decision other than none."""
    data = {
        "rollout": state.rollout,
        "stable": state.stable,
        "canary": state.canary,
        "percent": decision.percent,
        "sentence": decision.sentence,
        "metric": decision.metric,
        "e_value": decision.e_value,
        "threshold": decision.threshold,
        "counts": dict(decision.counts),
    }
    return _event(state, _TYPES[decision.kind], decision.at, data)


def _event(state: State, kind: str, at: float, data: dict[str, object]) -> Event:
    """The same event at each attempt to send it."""
    named = f"{state.rollout}\0{kind}\0{at}\0{data['percent']}"
    attributes = {
        "specversion": "1.0",
        "type": kind,
        "source": f"/tidegate/rollouts/{state.model}",
        "id": blake2b(named.encode(), digest_size=16).hexdigest(),
        "subject": state.model,
        "partitionkey": state.model,
        "datacontenttype": "application/json",
    }
    return Event(attributes, data)
