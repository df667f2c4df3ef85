"""Objects as rows of a table, in which kubectl shows the columns that a cluster's custom resources define."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from functions.runtime.knative.objects import condition
from tidegate.local.objects.validation import Object

Cell = Callable[[Object], Any]


def is_wanted(request: web.Request) -> bool:
    """Whether the client prefers a table, as kubectl does to print objects."""
    return "as=Table" in request.headers.get("Accept", "").partition(",")[0]


def of(plural: str, items: Iterable[Object]) -> Object:
    """A table with one row for each object of the resource."""
    columns = {"Name": _field("metadata", "name"), **_COLUMNS.get(plural, {}), "Age": _field("metadata", "creationTimestamp")}
    definitions = [_definition(name) for name in columns]
    rows = [{"cells": [cell(item) for cell in columns.values()], "object": _partial(item)} for item in items]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": definitions, "rows": rows}


def _definition(name: str) -> Object:
    type_ = "date" if name == "Age" else "string"
    return {"name": name, "type": type_, "format": "name" if name == "Name" else "", "description": "", "priority": 0}


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
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds:.0f}s"


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
