"""From a Knative Service to its revisions and its status: what Knative's controllers do, as functions of the objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tidegate.local.apiserver.failure import Failure
from tidegate.local.apiserver.store import now
from tidegate.local.objects.resources import SERVING, SERVING_LABELS
from tidegate.local.objects.validation import Object

_GENERATION = f"{SERVING_LABELS}configurationGeneration"
ConditionStatus = Literal["True", "False", "Unknown"]


def next_revision(service: Object, revisions: Sequence[Object], templates: Mapping[str, Object]) -> Object | None:
    """The revision that the service's template asks for, unless the newest one is it already.

    `templates` is what each revision was made from, by its name: a revision's own labels and annotations may be changed afterwards.
    """
    newest = max(revisions, key=_generation, default=None)
    if newest is not None and templates.get(name_of(newest)) == service["spec"]["template"]:
        return None
    return _revision(service, _generation(newest) + 1 if newest else 1)


def revision_status(revision: Object, problem: str | None, replicas: int, desired: int) -> Object:
    """A revision at zero is ready: it has not failed. It stops being so when its replicas cannot be started."""
    old = revision.get("status", {}).get("conditions", [])
    active = ("True", "", "") if desired else ("False", "NoTraffic", "The target is not receiving traffic.")
    conditions = [
        _condition(old, "Active", *active),
        _condition(old, "ContainerHealthy", *_healthy(problem)),
        _condition(old, "Ready", *_healthy(problem)),
        _condition(old, "ResourcesAvailable", "True"),
    ]
    generation = revision["metadata"]["generation"]
    return {"observedGeneration": generation, "actualReplicas": replicas, "desiredReplicas": desired, "conditions": conditions}


def service_status(service: Object, revisions: Sequence[Object], domain: str, taken: str | None = None) -> Object:
    """`domain` is what follows a service's name in its host, with the port: `localhost:8080`.

    `taken` is the name that the template asks for and another revision has.
    """
    old = service.get("status", {})
    name = name_of(service)
    created = max(revisions, key=_generation)
    ready = max((r for r in revisions if is_ready(r)), key=_generation, default=None)
    latest = name_of(ready) if ready else old.get("latestReadyRevisionName")
    traffic, missing = _resolve(service, {name_of(r) for r in revisions}, latest, domain)
    configurations = _configurations(created, taken)
    routes = _routes(missing, taken)
    conditions = old.get("conditions", [])
    status: Object = {
        "observedGeneration": service["metadata"]["generation"],
        "conditions": [
            _condition(conditions, "ConfigurationsReady", *configurations),
            _condition(conditions, "Ready", *(routes if routes[0] == "False" else configurations)),
            _condition(conditions, "RoutesReady", *routes),
        ],
        "latestCreatedRevisionName": name_of(created),
        "url": f"http://{name}.{domain}",
        "address": {"url": f"http://{name}.{domain}"},
        "traffic": old.get("traffic", []) if missing else traffic,
    }
    if latest:
        status["latestReadyRevisionName"] = latest
    return status


def is_ready(revision: Object) -> bool:
    conditions = revision.get("status", {}).get("conditions", [])
    return all(condition["status"] != "False" for condition in conditions if condition["type"] == "Ready")


def name_of(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def service_of(revision: Object) -> str:
    service: str = revision["metadata"]["labels"][f"{SERVING_LABELS}service"]
    return service


def _generation(revision: Object) -> int:
    return int(revision["metadata"]["labels"][_GENERATION])


def _revision(service: Object, generation: int) -> Object:
    name = name_of(service)
    template = service["spec"]["template"]
    metadata = template.get("metadata", {})
    owned = {_GENERATION: str(generation), **{f"{SERVING_LABELS}{kind}": name for kind in ("configuration", "service")}}
    return {
        "apiVersion": SERVING,
        "kind": "Revision",
        "metadata": {
            "name": metadata.get("name") or f"{name}-{generation:05d}",
            "namespace": service["metadata"]["namespace"],
            "labels": {**metadata.get("labels", {}), **owned},
            "annotations": metadata.get("annotations", {}),
        },
        "spec": template["spec"],
    }


def _configurations(created: Object, taken: str | None) -> tuple[ConditionStatus, str, str]:
    if taken:
        exists = Failure.exists("revisions", taken)
        return "False", "RevisionFailed", f"Revision creation failed with message: {exists}."
    if is_ready(created):
        return "True", "", ""
    why = next(c.get("message", "") for c in created["status"]["conditions"] if c["type"] == "Ready")
    return "False", "RevisionFailed", f'Revision "{name_of(created)}" failed with message: {why}.'


def _routes(missing: str | None, taken: str | None) -> tuple[ConditionStatus, str, str]:
    if taken:
        message = f'The revision name "{taken}" is taken by a conflicting Revision, so traffic will not be migrated'
        return "False", "RevisionNameTaken", message
    return ("False", "RevisionMissing", missing) if missing else ("True", "", "")


def _healthy(problem: str | None) -> tuple[ConditionStatus, str, str]:
    return ("False", "ContainerFailed", problem) if problem else ("True", "", "")


def _resolve(service: Object, known: set[str], latest: str | None, domain: str) -> tuple[list[Object], str | None]:
    """The traffic with revisions' names and tags' addresses, and what is missing, if anything is."""
    resolved: list[Object] = []
    name = name_of(service)
    for target in service["spec"]["traffic"]:
        revision = target.get("revisionName") or latest
        if revision is None:
            return [], f'Configuration "{name}" does not have any ready Revision.'
        if revision not in known:
            return [], f'Revision "{revision}" referenced in traffic not found.'
        entry: Object = {"revisionName": revision, "latestRevision": not target.get("revisionName")}
        if "percent" in target:
            entry["percent"] = target["percent"]
        if target.get("tag"):
            entry |= {"tag": target["tag"], "url": f"http://{target['tag']}-{name}.{domain}"}
        resolved.append(entry)
    return resolved, None


def _condition(old: Iterable[Object], kind: str, status: str, reason: str = "", message: str = "") -> Object:
    """The time moves only when the status does."""
    new: Object = {"type": kind, "status": status}
    new |= {name: value for name, value in (("reason", reason), ("message", message)) if value}
    before = next((c for c in old if c["type"] == kind), None)
    new["lastTransitionTime"] = before["lastTransitionTime"] if before and before["status"] == status else now()
    return new
