"""Outcomes and states for the tests of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventing.distinct import Distinct
from eventing.outcome import ArmOutcome, Outcome
from functions.rollout.policy import POLICY, Policy, policy_of
from functions.rollout.state import State, start

STABLE, CANARY, MODEL, ROLLOUT = "flights-00001", "flights-00002", "flights", "flights-00002-1000"
STARTED = 1_000.0


def a_policy(text: str = "", **annotations: str) -> Policy:
    return policy_of({POLICY: text, **annotations})


def a_state(percent: int = 20, **fields: Any) -> State:
    state = start(rollout=ROLLOUT, model=MODEL, stable=STABLE, canary=CANARY, percent=percent, now=STARTED)
    return State(**{name: getattr(state, name) for name in State.__dataclass_fields__} | fields)


def sketch(digests: Sequence[int]) -> Distinct:
    keys = Distinct()
    for digest in digests:
        keys.add(digest)
    return keys


def an_outcome(
    sequence: int = 1,
    *,
    percent: int = 20,
    canary: Sequence[int] = (),
    stable: Sequence[int] = (),
    keys: Sequence[int] = (),
    kind: str = "errors",
    arm: dict[str, Any] | None = None,
    **fields: Any,
) -> Outcome:
    """An outcome in which these keys had a bad outcome, and the canary had `keys`."""
    arms = [
        ArmOutcome(revision=STABLE, percent=100 - percent, bad_keys={kind: stable}),
        ArmOutcome(revision=CANARY, percent=percent, keys=sketch(keys), bad_keys={kind: canary}, **(arm or {})),
    ]
    values = {"router": "router-1", "model": MODEL, "rollout": ROLLOUT, "started": STARTED + sequence, "seconds": 1.0, "arms": arms}
    return Outcome(sequence=sequence, **{**values, **fields})
