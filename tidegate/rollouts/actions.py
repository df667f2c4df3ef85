"""What a person may do with a rollout. Each action is one write of the Knative Service, or an error with its remedy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from common.errors import RemediedError
from functions.rollout import announcements
from functions.rollout.cluster import Cluster, Conflict, NotFound
from functions.rollout.decisions import apply
from functions.rollout.policy import POLICY, Policy, policy_of
from functions.rollout.service import adopt, annotate, before_another, begin, move, rollout_of
from functions.rollout.state import Decision, Kind, Phase, State, approve
from functions.rollout.turn import policy_or_pause
from functions.runtime.knative.objects import SERVICE_LABEL, condition

Object = dict[str, Any]
Patch = dict[str, Any]
_ATTEMPTS = 10


class NoRollout(RemediedError):
    """There is no model, no revision or no rollout to act on."""


@dataclass(frozen=True, slots=True)
class Found:
    """A rollout as it was read, with the policy that applies, and a problem with that of the Service."""

    service: Object
    state: State
    policy: Policy
    problem: str = ""


def find(cluster: Cluster, model: str) -> Found:
    """The rollout of a model, which may be over. Raises NoRollout, InvalidState and ApiError."""
    service = _service(cluster, model)
    return Found(service, _state(service), *policy_or_pause(service))


def start(
    cluster: Cluster,
    model: str,
    *,
    canary: str | None = None,
    stable: str | None = None,
    policy: str | None = None,
    policy_name: str | None = None,
    steps: tuple[int, ...] | None = None,
) -> State:
    """Begin a rollout. `policy` is the text of one, and `steps` replace its steps; by default the Service's own is used."""
    for revision in filter(None, (canary, stable)):
        _check_revision(cluster, model, revision)

    def write(service: Object) -> tuple[State, Patch]:
        annotations = service["metadata"].get("annotations") or {}
        text = annotations.get(POLICY, "") if policy is None else policy
        chosen, now = policy_of({**annotations, POLICY: text}, source=policy_name or POLICY), time.time()
        if steps is not None:
            text = _with_field(text, "steps", list(steps))
            chosen = policy_of({**annotations, POLICY: text}, source="--steps")
        state = begin(service, chosen, now, canary=canary, stable=stable)
        patch = move(service, state)
        patch["metadata"]["annotations"] |= {
            **({POLICY: text} if text else {}),
            **announcements.added(service, [*_end_of_former(service, now), announcements.started(state)]),
        }
        return state, patch

    return _write(cluster, model, write)


def promote(cluster: Cluster, model: str) -> State:
    """Give the canary all traffic."""
    return _end(cluster, model, Kind.PROMOTE, Phase.PROMOTED, 100, "promoted")


def abort(cluster: Cluster, model: str) -> State:
    """Take all traffic from the canary."""
    return _end(cluster, model, Kind.ROLL_BACK, Phase.ROLLED_BACK, 0, "rolled back")


def pause(cluster: Cluster, model: str) -> State:
    """Keep the canary's share until it is resumed. A canary that fails is rolled back nevertheless."""

    def write(service: Object) -> tuple[State, Patch]:
        _, running = _running(service)
        return running, _set_paused(service, paused=True)

    return _write(cluster, model, write)


def resume(cluster: Cluster, model: str) -> State:
    """Go on, also beyond a percentage at which the policy waits for a person."""

    def write(service: Object) -> tuple[State, Patch]:
        before, running = _running(service)
        if running.phase is Phase.INCONCLUSIVE:
            raise NoRollout(
                f"the rollout of {running.canary} has reached its deadline",
                remedy=f"decide: tidegate rollout promote {model}, or abort {model}",
            )
        state = approve(running, running.percent)
        patch = annotate(service, state)
        patch["metadata"]["annotations"] |= _set_paused(service, paused=False)["metadata"]["annotations"]
        patch["metadata"]["annotations"] |= announcements.added(service, announcements.of_decisions(before, state))
        return state, patch

    return _write(cluster, model, write)


def _end(cluster: Cluster, model: str, kind: Kind, phase: Phase, percent: int, done: str) -> State:
    def write(service: Object) -> tuple[State, Patch]:
        before, running = _running(service)
        sentence = f"{running.canary} is {done}: a user asked for it."
        after = apply(running, Decision(kind=kind, sentence=sentence, percent=percent, phase=phase, metric="manual", at=time.time()))
        patch = move(service, after)
        patch["metadata"]["annotations"] |= announcements.added(service, announcements.of_decisions(before, after))
        return after, patch

    return _write(cluster, model, write)


def _write(cluster: Cluster, model: str, change: Callable[[Object], tuple[State, Patch]]) -> State:
    """Read, change and write; again after a conflict, since the rollout function writes the same object."""
    for _ in range(_ATTEMPTS):
        state, patch = change(_service(cluster, model))
        try:
            cluster.patch(model, patch)
        except Conflict:
            continue
        except NotFound:
            raise _no_service(cluster, model) from None
        return state
    raise Conflict(f"the Knative Service {model} was changed during each of {_ATTEMPTS} attempts to write it.")


def _service(cluster: Cluster, model: str) -> Object:
    try:
        return cluster.read(model)
    except NotFound:
        raise _no_service(cluster, model) from None


def _no_service(cluster: Cluster, model: str) -> NoRollout:
    return NoRollout(f"the namespace {cluster.namespace} has no Knative Service {model}", remedy="see `kubectl get ksvc` for those there")


def _check_revision(cluster: Cluster, model: str, name: str) -> None:
    try:
        revision = cluster.revision(name)
    except NotFound:
        revision = {}
    if (revision.get("metadata", {}).get("labels") or {}).get(SERVICE_LABEL) != model:
        remedy = f"see `kubectl get revisions -l {SERVICE_LABEL}={model}` for those there"
        raise NoRollout(f"{model} has no revision {name}", remedy=remedy)
    if (condition(revision, "Ready") or {}).get("status") == "False":
        raise NoRollout(f"the revision {name} is not ready", remedy=f"see `kubectl describe revision {name}` for the reason")


def _state(service: Object) -> State:
    state = rollout_of(service)
    if state is None:
        name = service["metadata"]["name"]
        raise NoRollout(f"{name} has no rollout", remedy=f"start one: tidegate rollout start {name}")
    return state


def _policy(service: Object) -> Policy:
    return policy_of(service["metadata"].get("annotations"))


def _end_of_former(service: Object, now: float) -> list[announcements.Announcement]:
    """The end of the rollout before this one, if it is in the traffic that a person has changed and nothing saw it yet."""
    after = before_another(service, now)
    return announcements.of_decisions(_state(service), after) if after is not None else []


def _running(service: Object) -> tuple[State, State]:
    """The rollout as it was written, and with what people have changed since.

    It is found whatever its policy is, since it must be possible to end it.
    """
    before = _state(service)
    state = adopt(service, before, time.time())
    if not state.running:
        name = service["metadata"]["name"]
        over = state.phase.value.replace("-", " ")
        raise NoRollout(f"the rollout of {state.canary} is over: it was {over}", remedy=f"start another one: tidegate rollout start {name}")
    return before, state


def _set_paused(service: Object, *, paused: bool) -> Patch:
    metadata = service["metadata"]
    text = (metadata.get("annotations") or {}).get(POLICY, "")
    annotations = {} if _policy(service).paused == paused else {POLICY: _with_field(text, "paused", paused)}
    return {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": annotations}}


def _with_field(policy: str, name: str, value: object) -> str:
    """The text of a policy, which must be a valid one, with another value of a field."""
    fields: Mapping[str, object] = yaml.safe_load(policy) or {}
    return orjson.dumps({**fields, name: value}, default=str).decode()
