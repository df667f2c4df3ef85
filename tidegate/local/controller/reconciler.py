"""Knative's controllers as pure functions: the revisions and the status of a Knative Service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from functions.runtime.knative.objects import REVISIONS, SERVICE_LABEL, SERVING, SERVING_LABELS, condition
from tidegate.local.apiserver import conditions
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.validation import Object

_GENERATION = f"{SERVING_LABELS}configurationGeneration"
ConditionStatus = Literal["True", "False", "Unknown"]


def next_revision(service: Object, revisions: Sequence[Object], templates: Mapping[str, Object]) -> Object | None:
    """The revision of the service's template, or None if the newest revision has the same template.

    `templates` are those of the revisions by name: the labels and annotations of a revision may have changed since.
    """
    newest = max(revisions, key=_generation, default=None)
    if newest is not None and templates.get(name_of(newest)) == service["spec"]["template"]:
        return None
    return _revision(service, _generation(newest) + 1 if newest else 1)


def revision_status(revision: Object, problem: str | None, replicas: int, desired: int) -> Object:
    """The status of a revision.

    At zero it is ready, since it has not failed; it is not when its replicas cannot be started.
    """
    active = ("True", "", "") if desired else ("False", "NoTraffic", "The target is not receiving traffic.")
    found = [
        conditions.changed(revision, "Active", *active),
        conditions.changed(revision, "ContainerHealthy", *_healthy(problem)),
        conditions.changed(revision, "Ready", *_healthy(problem)),
        conditions.changed(revision, "ResourcesAvailable", "True"),
    ]
    generation = revision["metadata"]["generation"]
    return {"observedGeneration": generation, "actualReplicas": replicas, "desiredReplicas": desired, "conditions": found}


def service_status(service: Object, revisions: Sequence[Object], domain: str, conflict: str | None = None) -> Object:
    """The status of a Knative Service. `domain` follows its name in its host, with the port: `localhost:8080`.

    `conflict` is the revision name in the template if another revision already has it.
    """
    old = service.get("status", {})
    name = name_of(service)
    created = max(revisions, key=_generation)
    ready = max((r for r in revisions if is_ready(r)), key=_generation, default=None)
    latest = name_of(ready) if ready else old.get("latestReadyRevisionName")
    traffic, missing = _resolve(service, {name_of(r) for r in revisions}, latest, domain)
    configurations = _configurations(created, conflict)
    routes = _routes(missing, conflict)
    status: Object = {
        "observedGeneration": service["metadata"]["generation"],
        "conditions": [
            conditions.changed(service, "ConfigurationsReady", *configurations),
            conditions.changed(service, "Ready", *(routes if routes[0] == "False" else configurations)),
            conditions.changed(service, "RoutesReady", *routes),
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
    """Whether a revision has not failed: one that has not reported yet counts as ready."""
    ready = condition(revision, "Ready")
    return ready is None or ready["status"] != "False"


def name_of(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def service_of(revision: Object) -> str:
    service: str = revision["metadata"]["labels"][SERVICE_LABEL]
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


def _configurations(created: Object, conflict: str | None) -> tuple[ConditionStatus, str, str]:
    if conflict:
        exists = StatusError.exists(REVISIONS, conflict)
        return "False", "RevisionFailed", f"Revision creation failed with message: {exists}."
    if is_ready(created):
        return "True", "", ""
    reason = (condition(created, "Ready") or {}).get("message", "")
    return "False", "RevisionFailed", f'Revision "{name_of(created)}" failed with message: {reason}.'


def _routes(missing: str | None, conflict: str | None) -> tuple[ConditionStatus, str, str]:
    if conflict:
        message = f'The revision name "{conflict}" is taken by a conflicting Revision, so traffic will not be migrated'
        return "False", "RevisionNameTaken", message
    return ("False", "RevisionMissing", missing) if missing else ("True", "", "")


def _healthy(problem: str | None) -> tuple[ConditionStatus, str, str]:
    return ("False", "ContainerFailed", problem) if problem else ("True", "", "")


def _resolve(service: Object, known: set[str], latest: str | None, domain: str) -> tuple[list[Object], str | None]:
    """The traffic with names of revisions and addresses of tags, and a message about a missing revision, if any."""
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
