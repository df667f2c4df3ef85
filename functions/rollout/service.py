"""A rollout and the Knative Service that it is about, as pure functions of the object.

Both revisions are pinned by name, so that a template that is pushed meanwhile gets no traffic. The loser of a rollout
leaves the traffic altogether: Knative ignores the `min-scale` of a revision without traffic or tag, and scales it to
zero. No rollout changes a `min-scale`: a canary that must be warm has it in its template from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from functions.rollout.codec import STATE, decode, encode
from functions.rollout.decisions import apply
from functions.rollout.errors import InvalidState, NotPossible
from functions.rollout.policy import Policy
from functions.rollout.state import Decision, Kind, Phase, State, start
from functions.runtime.knative.objects import traffic_targets
from functions.runtime.knative.traffic import ROLLOUT, SHADOW_TAG

STABLE_TAG, CANARY_TAG = "stable", "canary"


def rollout_of(service: Mapping[str, Any]) -> State | None:
    """The rollout of the annotation, if there is one that the name of the current keys belongs to. Raises InvalidState."""
    annotations = _annotations(service)
    text = annotations.get(STATE)
    state = decode(text) if text else None
    return state if state is not None and state.rollout == annotations.get(ROLLOUT) else None


def begin(service: Mapping[str, Any], policy: Policy, now: float, *, canary: str | None = None, stable: str | None = None) -> State:
    """The state of a new rollout. Raises NotPossible.

    By default, the stable revision is the one with all traffic, and the canary the newest one.
    """
    name = service["metadata"]["name"]
    running = before_another(service, now)
    if running is not None and running.running:
        raise NotPossible(f"{name} has a rollout of {running.canary} already", remedy="promote it or roll it back first")
    stable = stable or _only_revision(name, service)
    canary = canary or _newest_revision(name, service)
    if canary == stable:
        raise NotPossible(
            f"{name} has no revision that is newer than {stable}, which has all traffic", remedy="push a new one, or name one"
        )
    return start(rollout=f"{canary}-{int(now)}", model=name, stable=stable, canary=canary, percent=policy.steps[0], now=now)


def before_another(service: Mapping[str, Any], now: float) -> State | None:
    """The rollout that another one follows, which people may have ended by the traffic; None if it cannot be read."""
    try:
        found = rollout_of(service)
    except InvalidState:
        return None  # to begin again is the remedy
    return None if found is None else adopt(service, found, now)


def annotate(service: Mapping[str, Any], state: State) -> dict[str, Any]:
    """The merge patch that writes the state, unless the Service was changed since it was read."""
    annotations = {STATE: encode(state), ROLLOUT: state.rollout}
    return {"metadata": {"resourceVersion": service["metadata"]["resourceVersion"], "annotations": annotations}}


def move(service: Mapping[str, Any], state: State) -> dict[str, Any]:
    """The merge patch that writes the state and gives the canary its percentage, both or neither."""
    return annotate(service, state) | {"spec": {"traffic": traffic_of(service, state)}}


def traffic_of(service: Mapping[str, Any], state: State) -> list[dict[str, Any]]:
    """The traffic block: stable revision first. Tags of others that have no percentage stay."""
    canary_tag = CANARY_TAG if state.percent else SHADOW_TAG
    if state.running:
        ours = [_target(state.stable, 100 - state.percent, STABLE_TAG), _target(state.canary, state.percent, canary_tag)]
    else:
        ours = [_target(state.canary if state.phase is Phase.PROMOTED else state.stable, 100, STABLE_TAG)]
    taken = {STABLE_TAG, CANARY_TAG, *(target["tag"] for target in ours)}
    return ours + [
        entry
        for entry in service["spec"].get("traffic") or []
        if entry.get("tag") and not entry.get("percent") and entry["tag"] not in taken and not _was_shadow(entry, state)
    ]


def _target(revision: str, percent: int, tag: str) -> dict[str, Any]:
    return {"revisionName": revision, "latestRevision": False, "percent": percent, "tag": tag}


def _was_shadow(entry: Mapping[str, Any], state: State) -> bool:
    return entry["tag"] == SHADOW_TAG and entry.get("revisionName") == state.canary


def adopt(service: Mapping[str, Any], state: State, now: float) -> State:
    """The state after what people changed in the traffic block: their word counts, and the rollout follows.

    A percentage of theirs begins a step. If all traffic goes to one revision, or a part to a third one, the rollout is
    over. Write the state by `annotate`, so that their traffic stays.
    """
    split = _split(service["spec"].get("traffic"), service)
    third = sorted(split.keys() - {state.stable, state.canary})
    percent = 0 if third else split.get(state.canary, 0)
    if not state.running or not split or (percent == state.percent and not third):
        return state
    ends = {0: (Kind.ROLL_BACK, Phase.ROLLED_BACK), 100: (Kind.PROMOTE, Phase.PROMOTED)}
    kind, phase = ends.get(percent, (Kind.ADVANCE, state.phase))
    sentence = f"A user gave {percent}% to {state.canary}."
    if third:
        sentence = f"The rollout of {state.canary} is over: a user gave traffic to {', '.join(third)[:200]}."
    return apply(state, Decision(kind=kind, sentence=sentence, percent=percent, phase=phase, metric="manual", at=now))


def _only_revision(name: str, service: Mapping[str, Any]) -> str:
    revisions = list(_split((service.get("status") or {}).get("traffic") or service["spec"].get("traffic"), service))
    if not revisions:
        raise NotPossible(f"{name} has no revision that is ready", remedy=f"see `kubectl describe ksvc {name}` for the reason")
    if len(revisions) > 1:
        raise NotPossible(
            f"the traffic of {name} is split between {' and '.join(revisions)} already",
            remedy="give one of them all traffic, or name the stable one",
        )
    return revisions[0]


def _newest_revision(name: str, service: Mapping[str, Any]) -> str:
    status = service.get("status") or {}
    created, ready = status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")
    if not ready or created != ready:
        raise NotPossible(f"the newest revision of {name}, {created}, is not ready", remedy=f"see `kubectl describe revision {created}`")
    return str(ready)


def _split(traffic: Iterable[Mapping[str, Any]] | None, service: Mapping[str, Any]) -> dict[str, int]:
    """The percentages by revision, of those that have one."""
    split: dict[str, int] = {}
    for target in traffic_targets(traffic, (service.get("status") or {}).get("latestReadyRevisionName")):
        if target.percent:
            split[target.revision] = split.get(target.revision, 0) + target.percent
    return split


def _annotations(service: Mapping[str, Any]) -> Mapping[str, str]:
    return service["metadata"].get("annotations") or {}
