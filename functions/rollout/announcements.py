"""What a rollout has to report, until it is delivered: a list in an annotation, written together with the decisions.

A decision and its announcement are one write of the Knative Service. So a process that ends after the write loses none:
the next one finds the list. Ids are part of it, by which a receiver recognizes an announcement that it has already.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

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
from functions.runtime.knative.objects import SERVING

log = logging.getLogger("tidegate.rollout")

ANNOUNCEMENTS = "tidegate.dev/rollout-announcements"
"""The annotation with the announcements that wait to be delivered, as JSON."""
MOST_ANNOUNCEMENTS = 16
"""The oldest ones are given up beyond it: a sink that is gone must not fill the object."""
_MOST_CHARACTERS = 64 * 1024
_MOST_MESSAGE = 1_024  # bytes that Kubernetes allows
COMPONENT = "tidegate-rollout"

_TYPES = {
    Kind.ADVANCE: ROLLOUT_ADVANCED,
    Kind.HOLD: ROLLOUT_HELD,
    Kind.PROMOTE: ROLLOUT_PROMOTED,
    Kind.ROLL_BACK: ROLLOUT_ROLLED_BACK,
    Kind.INCONCLUSIVE: ROLLOUT_INCONCLUSIVE,
}
_REASONS = {
    ROLLOUT_STARTED: "RolloutStarted",
    ROLLOUT_ADVANCED: "RolloutAdvanced",
    ROLLOUT_HELD: "RolloutHeld",
    ROLLOUT_PROMOTED: "RolloutPromoted",
    ROLLOUT_ROLLED_BACK: "RolloutRolledBack",
    ROLLOUT_INCONCLUSIVE: "RolloutInconclusive",
}
_WARNINGS = {ROLLOUT_ROLLED_BACK, ROLLOUT_INCONCLUSIVE}


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event to deliver. `data` says what happened, with the evidence."""

    id: str
    type: str
    at: float
    data: Mapping[str, Any]


def started(state: State) -> Announcement:
    """The announcement of a rollout's start."""
    share = f"{state.percent}% of the keys, {state.stable} the others" if state.percent else f"copies of the requests to {state.stable}"
    sentence = f"{state.canary} gets {share}."
    return Announcement(
        f"{state.rollout}/started", ROLLOUT_STARTED, state.started, {**_subject(state, state.percent), "sentence": sentence}
    )


def of_decisions(before: State, after: State) -> list[Announcement]:
    """Announcements of the decisions that `after` remembers and `before` does not."""
    return [_of_decision(after, decision) for decision in after.decisions if decision not in before.decisions]


def waiting(service: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The announcements of a Knative Service, in their order. What is not readable is left out."""
    text = (service["metadata"].get("annotations") or {}).get(ANNOUNCEMENTS) or "[]"
    try:
        found = orjson.loads(text) if len(text) <= _MOST_CHARACTERS else []
        return tuple(_from_json(item) for item in found)
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):  # whatever another writer has put there
        log.warning("%s: the annotation %s is not readable and will be replaced", service["metadata"]["name"], ANNOUNCEMENTS)
        return ()


def annotation(announcements: Sequence[Announcement]) -> dict[str, str | None]:
    """The annotation as a merge patch has it: without announcements it is removed."""
    if not announcements:
        return {ANNOUNCEMENTS: None}
    kept = [{"id": one.id, "type": one.type, "at": one.at, "data": one.data} for one in announcements[-MOST_ANNOUNCEMENTS:]]
    return {ANNOUNCEMENTS: orjson.dumps(kept).decode()}


def added(service: Mapping[str, Any], new: Iterable[Announcement]) -> dict[str, str | None]:
    """The annotation with these at the end; no annotation if there is none to add."""
    new = list(new)
    return annotation([*waiting(service), *new]) if new else {}


def without(service: Mapping[str, Any], delivered: Collection[str]) -> dict[str, str | None]:
    """The annotation without the announcements that have these ids."""
    return annotation([one for one in waiting(service) if one.id not in delivered])


def to_event(announcement: Announcement, namespace: str) -> Event:
    """The CloudEvent. Source and id are the same in each attempt to deliver it."""
    model = str(announcement.data["model"])
    attributes = {
        "specversion": "1.0",
        "type": announcement.type,
        "source": f"/tidegate/rollouts/{namespace}/{model}",
        "id": announcement.id,
        "subject": model,
        "partitionkey": model,
        "time": _time(announcement.at),
        "datacontenttype": "application/json",
    }
    return Event(attributes, dict(announcement.data))


def to_kubernetes(announcement: Announcement, service: Mapping[str, Any]) -> dict[str, Any]:
    """The Event of Kubernetes about the Knative Service."""
    return kubernetes_event(
        service,
        reason=_REASONS[announcement.type],
        message=str(announcement.data["sentence"]),
        warning=announcement.type in _WARNINGS,
        at=announcement.at,
        identity=announcement.id,
    )


def kubernetes_event(service: Mapping[str, Any], *, reason: str, message: str, warning: bool, at: float, identity: str) -> dict[str, Any]:
    """An Event of Kubernetes (v1). Its name follows from `identity`, so that a second attempt finds it there."""
    metadata = service["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    digest = blake2b(f"{metadata.get('uid', '')}/{identity}".encode(), digest_size=8).hexdigest()
    involved = {"apiVersion": SERVING, "kind": "Service", "name": name, "namespace": namespace, "uid": metadata.get("uid", "")}
    seconds = _time(at, "seconds")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{digest}", "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": message.encode()[:_MOST_MESSAGE].decode(errors="ignore"),
        "type": "Warning" if warning else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
    }


def _of_decision(state: State, decision: Decision) -> Announcement:
    data = {
        **_subject(state, decision.percent),
        "sentence": decision.sentence,
        "metric": decision.metric,
        "eValue": decision.e_value,
        "threshold": decision.threshold,
        "counts": dict(decision.counts),
    }
    # What a person has changed and what follows from it are decisions of one time.
    identity = f"{decision.kind.value}-{decision.percent}-{round(decision.at * 1000)}"
    return Announcement(f"{state.rollout}/{identity}", _TYPES[decision.kind], decision.at, data)


def _subject(state: State, percent: int) -> dict[str, Any]:
    return {
        "model": state.model,
        "rollout": state.rollout,
        "stable": state.stable,
        "canary": state.canary,
        "percent": percent,
        "phase": state.phase.value,
    }


def _from_json(item: Mapping[str, Any]) -> Announcement:
    if item["type"] not in _REASONS or not item["id"] or not {"model", "sentence"} <= item["data"].keys():
        raise ValueError
    at = float(item["at"])
    _time(at)
    return Announcement(str(item["id"]), item["type"], at, dict(item["data"]))


def _time(at: float, precision: str = "milliseconds") -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
