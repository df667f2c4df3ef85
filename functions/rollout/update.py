"""One turn of the rollout function: read the Knative Service, apply outcomes, and write what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from eventing.outcome import Outcome
from functions.rollout.decisions import apply, decide
from functions.rollout.errors import Contended, InvalidPolicy
from functions.rollout.observation import observe
from functions.rollout.policy import Policy, policy_of
from functions.rollout.service import adopt, annotate, move, rollout_of
from functions.rollout.state import Decision, Kind, State

_ATTEMPTS = 5


class Conflict(Exception):
    """The Service has changed since it was read (409)."""


class Services(Protocol):
    """The Knative Services of a namespace."""

    def get(self, name: str) -> Mapping[str, Any] | None:
        """The Service; None if there is none."""

    def patch(self, name: str, body: Mapping[str, Any]) -> None:
        """Apply a merge patch with a resourceVersion. Raises Conflict."""


def update(services: Services, model: str, outcomes: Sequence[Outcome], now: float) -> tuple[State | None, Sequence[Decision]]:
    """Apply outcomes of a model to its rollout; return its state and the new decisions. They are written by then.

    Without outcomes, only time goes on. A model without a Service or a rollout has none to apply: None. Raises
    Contended if the Service changes all the time, and InvalidState.
    """
    for _ in range(_ATTEMPTS):
        service = services.get(model)
        before = None if service is None else rollout_of(service)
        if service is None or before is None:
            return None, ()
        adopted = adopt(service, before, now)
        policy = _policy(service)
        observed = observe(adopted, outcomes, policy, now)
        decision = decide(observed, policy, now)
        after = apply(observed, decision)
        if _timeless(after) == _timeless(before) and not _is_due(before, now):
            return after, ()
        try:
            services.patch(model, move(service, after) if _moves(observed, decision) else annotate(service, after))
        except Conflict:
            continue
        return after, [made for made in after.decisions if made not in before.decisions]
    raise Contended(f"the Knative Service {model} changes all the time", remedy="deliver the outcomes again later")


def _policy(service: Mapping[str, Any]) -> Policy:
    """The policy; if it cannot be read, one that gives the canary nothing more and still rolls it back."""
    try:
        return policy_of(service["metadata"].get("annotations"))
    except InvalidPolicy:
        return Policy(paused=True)


def _timeless(state: State) -> State:
    """The state without what changes with the clock alone, which is not worth a write."""
    return replace(state, clock=0.0, elapsed=0.0, step_elapsed=0.0)


def _is_due(state: State, now: float) -> bool:
    """Whether time has to be written down: it is counted by a few minutes at most."""
    return state.running and abs(now - state.clock) >= 60.0


def _moves(state: State, decision: Decision) -> bool:
    """Whether traffic follows from a decision. What a user has changed stays as it is."""
    return state.running and decision.kind not in (Kind.NONE, Kind.HOLD) and decision.percent != state.percent
