"""Reading objects that nobody has checked yet: what is not as it should be counts as not there, since the API server tells it better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tidegate.objects import Document, Object

_TEMPLATES = (
    ("spec", "template"),
    ("spec", "job", "spec", "template"),
    ("spec", "jobTemplate", "spec", "template"),
    ("spec", "jobTargetRef", "template"),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that makes pods, and their specification. `name` is for a person: `Deployment stream-flights`."""

    document: Document
    name: str
    metadata: Object
    pod: Object

    @property
    def containers(self) -> list[Object]:
        return mappings(self.pod.get("containers"))

    @property
    def on_knative(self) -> bool:
        return is_knative_service(self.document.object)


def mapping(value: Any, *path: str) -> Object:
    """What is at the path, if it is a mapping; else an empty one."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Object, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def name_of(item: Object) -> str:
    return text(mapping(item, "metadata"), "name")


def called(item: Object) -> str:
    return f"{text(item, 'kind')} {name_of(item)}"


def for_kubectl(item: Object) -> str:
    """The arguments that name it. With the group, since `service` alone is Kubernetes' own, which Knative makes one of for each of its."""
    group, namespace = text(item, "apiVersion").rpartition("/")[0], text(mapping(item, "metadata"), "namespace")
    kind = ".".join(filter(None, (text(item, "kind").lower(), group)))
    return f"{f'-n {namespace} ' if namespace else ''}{kind}/{name_of(item)}"


def is_knative_service(item: Object) -> bool:
    return item.get("kind") == "Service" and text(item, "apiVersion").startswith("serving.knative.dev/")


def workloads(documents: list[Document]) -> list[Workload]:
    return [workload for document in documents for workload in _workloads(document)]


def _workloads(document: Document) -> Iterator[Workload]:
    for path in _TEMPLATES:
        template = mapping(document.object, *path)
        pod = mapping(template, "spec")
        if mappings(pod.get("containers")):
            yield Workload(document, called(document.object), mapping(template, "metadata"), pod)


def condition(item: Object, kind: str) -> Object | None:
    """The condition of this type in the object's status."""
    return next((found for found in mappings(mapping(item, "status").get("conditions")) if found.get("type") == kind), None)


def once(states: list[Object]) -> list[str]:
    """What conditions or states of containers say, each `reason: message` without a full stop; without what repeats an earlier one."""
    told: dict[str, str] = {}
    for state in states:
        reason, message = text(state, "reason"), " ".join(text(state, "message").split()).rstrip(".")
        if (message or reason) and not any(earlier in (message or reason) for earlier in told):
            told[message or reason] = f"{reason}: {message}" if reason and message else message or reason
    return list(told.values())


def environment(container: Object) -> dict[str, str]:
    """The variables of a container that are written out."""
    return {text(variable, "name"): text(variable, "value") for variable in mappings(container.get("env")) if "value" in variable}


def nested(value: Any, key: str) -> Iterator[Object]:
    """Every mapping that is somewhere below under this key."""
    if isinstance(value, dict):
        found = value.get(key)
        if isinstance(found, dict):
            yield found
        for item in value.values():
            yield from nested(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from nested(item, key)
