"""Objects as rows of a table, in which kubectl shows the columns that a cluster's custom resources define."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from functions.runtime.knative.objects import condition
from tidegate.local.objects.validation import Object

Cell = Callable[[Object], Any]
# From this number on, one unit is exact enough.
_TWO_UNITS = 8


def is_wanted(request: web.Request) -> bool:
    """Whether the client prefers a table, as kubectl does to print objects."""
    return "as=Table" in request.headers.get("Accept", "").partition(",")[0]


def of(plural: str, items: Iterable[Object]) -> Object:
    """A table with one row for each object of the resource."""
    columns = {"Name": _field("metadata", "name"), **_COLUMNS.get(plural, {}), "Age": _age}
    definitions = [_definition(name) for name in columns]
    rows = [{"cells": [cell(item) for cell in columns.values()], "object": _partial(item)} for item in items]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": definitions, "rows": rows}


def _definition(name: str) -> Object:
    return {"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": "", "priority": 0}


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
    start, end = status.get("startTime"), status.get("completionTime")
    if not start or not end:
        return None
    return human((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _age(item: Object) -> str:
    created = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
    return human((datetime.now(UTC) - created).total_seconds())


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


_URL = {"URL": _field("status", "address", "url")}
_READY = {"Ready": _condition("Ready", "status"), "Reason": _condition("Ready", "reason")}
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
    "brokers": {**_URL, **_READY},
    "triggers": {"Broker": _field("spec", "broker"), "Subscriber_URI": _field("status", "subscriberUri"), **_READY},
    "kafkasinks": {**_URL, **_READY},
    "jobsinks": {**_URL, **_READY},
    "pingsources": {**_SINK, "Schedule": _field("spec", "schedule"), **_READY},
    "kafkasources": {"Topics": lambda item: ",".join(item["spec"].get("topics", ())), **_SINK, **_READY},
    "sinkbindings": {**_SINK, **_READY},
    "apiserversources": {**_SINK, **_READY},
    "containersources": {**_SINK, **_READY},
    "sequences": {**_URL, **_READY},
    "parallels": {**_URL, **_READY},
    "jobs": {"Status": _job_status, "Completions": _completions, "Duration": _duration},
}
