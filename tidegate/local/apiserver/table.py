"""Objects as rows of a table, in which kubectl shows the columns that a cluster's custom resources define."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from functions.runtime.knative.objects import condition
from tidegate.local.objects.eventing import BROKER_CLASS
from tidegate.local.objects.validation import Object

Cell = Callable[[Object], Any]
# From this number on, one unit is exact enough.
_TWO_UNITS = 8


def is_wanted(request: web.Request) -> bool:
    """Whether the client prefers a table, as kubectl does to print objects."""
    return "as=Table" in request.headers.get("Accept", "").partition(",")[0]


def of(plural: str, items: Iterable[Object]) -> Object:
    """A table with one row for each object of the resource."""
    columns = _COLUMNS.get(plural, _AGE)
    if "Name" not in columns:
        columns = {"Name": _field("metadata", "name"), **columns}
    definitions = [_definition(name, (plural, name) in _WIDE) for name in columns]
    rows = [{"cells": [cell(item) for cell in columns.values()], "object": _partial(item)} for item in items]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": definitions, "rows": rows}


def _definition(name: str, wide: bool) -> Object:
    format_, priority = "name" if name == "Name" else "", int(wide)
    return {"name": name, "type": "string", "format": format_, "description": "", "priority": priority}


def _partial(item: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _field(*path: str) -> Cell:
    def read(item: Object) -> Any:
        value: Any = item
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def _condition(type_: str, field: str) -> Cell:
    return lambda item: (condition(item, type_) or {}).get(field)


def _completions(job: Object) -> str:
    succeeded = (job.get("status") or {}).get("succeeded", 0)
    spec = job["spec"]
    return f"{succeeded}/{spec.get('completions') or spec.get('parallelism', 1)}"


def _job_status(job: Object) -> str:
    for type_, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if (condition(job, type_) or {}).get("status") == "True":
            return word
    return "Running"


def _duration(job: Object) -> str | None:
    status = job.get("status") or {}
    start = status.get("startTime")
    return _between(start, status.get("completionTime")) if start else None


def _age(item: Object) -> str:
    return _between(item["metadata"]["creationTimestamp"])


def _between(start: str, end: str | None = None) -> str:
    """The duration between two times, or until now."""
    last = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return human((last - datetime.fromisoformat(start)).total_seconds())


def human(seconds: float) -> str:
    """A duration as kubectl writes it: with more than one unit only while the larger one is small."""
    whole = max(0, int(seconds))
    for unit, name, smaller, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        count, rest = divmod(whole, unit)
        if count >= _TWO_UNITS:
            return f"{count}{name}"
        if count:
            return f"{count}{name}{rest // smaller}{small}" if rest // smaller else f"{count}{name}"
    return f"{whole}s"


# kubectl shows these by `-o wide`.
_WIDE = frozenset({("brokers", "Class"), ("events", "Name")})
_AGE = {"Age": _age}


def _list(*path: str) -> Cell:
    """A list as an API server prints it."""
    found = _field(*path)
    return lambda item: json.dumps(found(item) or [], separators=(",", ":"))


_URL = {"URL": _field("status", "address", "url")}
_READY = {"Ready": _condition("Ready", "status"), "Reason": _condition("Ready", "reason")}
_SINCE = {**_AGE, **_READY}
_SINK = {"Sink": _field("status", "sinkUri")}
_COLUMNS: Mapping[str, Mapping[str, Cell]] = {
    "services": {
        "URL": _field("status", "url"),
        "LatestCreated": _field("status", "latestCreatedRevisionName"),
        "LatestReady": _field("status", "latestReadyRevisionName"),
        **_READY,
    },
    "revisions": {
        "Config Name": _field("metadata", "labels", "serving.knative.dev/configuration"),
        "Generation": _field("metadata", "labels", "serving.knative.dev/configurationGeneration"),
        **_READY,
        "Actual Replicas": _field("status", "actualReplicas"),
        "Desired Replicas": _field("status", "desiredReplicas"),
    },
    "brokers": {**_URL, **_SINCE, "Class": _field("metadata", "annotations", BROKER_CLASS)},
    "triggers": {"Broker": _field("spec", "broker"), "Subscriber_URI": _field("status", "subscriberUri"), **_SINCE},
    "kafkasinks": {**_URL, **_SINCE},
    "jobsinks": {**_URL, **_SINCE},
    "pingsources": {**_SINK, "Schedule": _field("spec", "schedule"), **_SINCE},
    "kafkasources": {"Topics": _list("spec", "topics"), "BootstrapServers": _list("spec", "bootstrapServers"), **_READY, **_AGE},
    "sinkbindings": {**_SINK, **_SINCE},
    "apiserversources": {**_SINK, **_SINCE},
    "containersources": {**_SINK, **_SINCE},
    "sequences": {**_URL, **_SINCE},
    "parallels": {**_URL, **_SINCE},
    "events": {
        "Last Seen": lambda event: _between(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]),
        "Type": _field("type"),
        "Reason": _field("reason"),
        "Object": lambda event: f"{str(event['involvedObject'].get('kind')).lower()}/{event['involvedObject'].get('name')}",
        "Message": _field("message"),
        "Name": _field("metadata", "name"),
    },
    "jobs": {"Status": _job_status, "Completions": _completions, "Duration": _duration, **_AGE},
}
