"""Eventing's part of the status document: what accepts, moves and receives events, with its counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from functions.runtime.knative.objects import condition
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.addressing import INGRESSES
from tidegate.local.eventing.controller import JOBS, TRIGGERS
from tidegate.local.eventing.delivery.subscriber import Counts
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.jobs.event_job import NAME_LABEL
from tidegate.local.eventing.jobs.jobs import Jobs
from tidegate.local.eventing.plane import Eventing
from tidegate.local.eventing.resolution import broker_of
from tidegate.local.objects.eventing import Trigger
from tidegate.local.objects.kinds import BY_PLURAL
from tidegate.local.objects.validation import Object

_SOURCES = ("pingsources", "kafkasources", "apiserversources", "containersources")


class Named(TypedDict):
    """An object. `reason` explains why it is not ready."""

    namespace: str
    name: str
    ready: bool
    reason: str


class Receiver(Named):
    """A Broker, a sink or a flow. Its `address` is empty while it has none."""

    kind: str
    address: str


class ReceiverStatus(Receiver):
    """`events` is the number of events that Kafka has accepted for it, None if it does not write to Kafka."""

    events: int | None


class TriggerStatus(Named):
    """A Trigger with its counts since `tidegate up` has started. `status` is that of its condition Ready."""

    broker: str
    broker_namespace: str
    status: str
    subscriber: str
    delivered: int
    retries: int
    dead_lettered: int
    lost: int
    filtered: int
    replies: int
    last_failure: str


class SourceStatus(Named):
    """A source. Counts are None where its processes do not report them; `next` is an RFC 3339 time."""

    kind: str
    sink: str
    sent: int | None
    failed: int | None
    next: str | None


class PodStatus(TypedDict):
    """A pod of a Job that runs, as a process. Its log has the pod's name."""

    name: str
    pid: int


class JobStatus(TypedDict):
    """A Job. `state` is the condition that ended or suspended it, or "Running"; `sink` is the JobSink that made it."""

    namespace: str
    name: str
    sink: str
    active: int
    succeeded: int
    failed: int
    state: str
    reason: str
    created: str
    pods: list[PodStatus]


class EventingStatus(TypedDict):
    """Everything that has to do with events."""

    receivers: list[ReceiverStatus]
    triggers: list[TriggerStatus]
    sources: list[SourceStatus]
    jobs: list[JobStatus]


def overview(store: Store, eventing: Eventing) -> EventingStatus:
    """The status of all objects, by namespace and name."""
    events = {"Broker": eventing.brokers.written(), "KafkaSink": eventing.kafka_sinks.written()}
    counts = eventing.triggers.counts()
    return {
        "receivers": [_with_events(item, events) for item in receivers(store)],
        "triggers": [_trigger(item, counts.get(_address(item), Counts())) for item in store.list(TRIGGERS)],
        "sources": [_source(resource, item, eventing) for resource in _SOURCES for item in store.list(resource)],
        "jobs": [_job(item, eventing.jobs) for item in store.list(JOBS)],
    }


def receivers(store: Store) -> list[Receiver]:
    """Everything that accepts events at an ingress, with its address."""
    return [_receiver(resource, item) for resource in INGRESSES for item in store.list(resource)]


def _receiver(resource: str, item: Object) -> Receiver:
    url = ((item.get("status") or {}).get("address") or {}).get("url") or ""
    return {**_named(item), "kind": BY_PLURAL[resource].kind, "address": str(url)}


def _with_events(item: Receiver, events: Mapping[str, Mapping[Address, int]]) -> ReceiverStatus:
    counts = events.get(item["kind"])
    return {**item, "events": None if counts is None else counts.get(Address(item["namespace"], item["name"]), 0)}


def _trigger(item: Object, counts: Counts) -> TriggerStatus:
    broker = broker_of(Trigger.model_validate(item), item["metadata"]["namespace"])
    return {
        **_named(item),
        "broker": broker.name,
        "broker_namespace": broker.namespace,
        "status": (condition(item, "Ready") or {}).get("status", "Unknown"),
        "subscriber": str((item.get("status") or {}).get("subscriberUri") or ""),
        "delivered": counts.delivered,
        "retries": counts.retries,
        "dead_lettered": counts.dead_lettered,
        "lost": counts.lost,
        "filtered": counts.filtered,
        "replies": counts.replies,
        "last_failure": counts.last_failure,
    }


def _source(resource: str, item: Object, eventing: Eventing) -> SourceStatus:
    sent, failed, due = _progress(resource, _address(item), eventing)
    sink = str((item.get("status") or {}).get("sinkUri") or "")
    return {**_named(item), "kind": BY_PLURAL[resource].kind, "sink": sink, "sent": sent, "failed": failed, "next": due}


def _progress(resource: str, address: Address, eventing: Eventing) -> tuple[int | None, int | None, str | None]:
    """The events that a source has sent and failed to send, and when the next one is due."""
    if resource == "pingsources" and (pings := eventing.pings.counts().get(address)):
        return pings.sent, pings.failed, pings.next.isoformat(timespec="seconds") if pings.next else None
    if resource == "kafkasources" and (counts := eventing.kafka_sources.counts().get(address)):
        return counts.delivered, counts.dead_lettered + counts.lost, None
    return None, None, None


def _job(item: Object, jobs: Jobs) -> JobStatus:
    status, metadata = item.get("status") or {}, item["metadata"]
    held = (condition(item, type_) or {} for type_ in ("Failed", "Complete", "Suspended"))
    found = next((one for one in held if one.get("status") == "True"), {})
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "sink": (metadata.get("labels") or {}).get(NAME_LABEL, ""),
        "active": status.get("active", 0),
        "succeeded": status.get("succeeded", 0),
        "failed": status.get("failed", 0),
        "state": found.get("type", "Running"),
        "reason": found.get("message") or "",
        "created": metadata.get("creationTimestamp", ""),
        "pods": [{"name": name, "pid": pid} for name, pid in jobs.pids(metadata["namespace"], metadata["name"]).items()],
    }


def _named(item: Object) -> Named:
    ready = condition(item, "Ready") or {}
    holds = ready.get("status") == "True"
    reason = "" if holds else ready.get("message") or ready.get("reason") or "not reconciled yet"
    return {"namespace": item["metadata"]["namespace"], "name": item["metadata"]["name"], "ready": holds, "reason": reason}


def _address(item: Object) -> Address:
    return Address(item["metadata"]["namespace"], item["metadata"]["name"])
