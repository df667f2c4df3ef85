"""Readers of unvalidated Kubernetes objects.

A value of the wrong type counts as missing, since the API server reports it better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from functions.runtime.knative.objects import SERVING_GROUP
from tidegate.documents import Document, Object

_TEMPLATES = (
    ("spec", "template"),
    ("spec", "job", "spec", "template"),
    ("spec", "jobTemplate", "spec", "template"),
    ("spec", "jobTargetRef", "template"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """An object that creates pods, with the metadata and the pod specification of its template.

    `name` is for a person: `Deployment stream-flights`.
    """

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
    """The mapping at the path; an empty one if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Object]:
    """The mappings in a list; none if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Object, name: str) -> str:
    """The string under the name; an empty one if there is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def name_of(item: Object) -> str:
    return text(mapping(item, "metadata"), "name")


def display_name(item: Object) -> str:
    """Kind and name: `Deployment stream-flights`."""
    return f"{text(item, 'kind')} {name_of(item)}"


def kubectl_name(item: Object) -> str:
    """The arguments by which kubectl finds the object.

    With the group: `service` alone is Kubernetes' own kind, and Knative makes one of those for each of its Services.
    """
    group, namespace = text(item, "apiVersion").rpartition("/")[0], text(mapping(item, "metadata"), "namespace")
    kind = ".".join(filter(None, (text(item, "kind").lower(), group)))
    return f"{f'-n {namespace} ' if namespace else ''}{kind}/{name_of(item)}"


def is_knative_service(item: Object) -> bool:
    return item.get("kind") == "Service" and text(item, "apiVersion").startswith(f"{SERVING_GROUP}/")


def workloads(documents: list[Document]) -> list[Workload]:
    return [workload for document in documents for workload in _workloads(document)]


def _workloads(document: Document) -> Iterator[Workload]:
    for path in _TEMPLATES:
        template = mapping(document.object, *path)
        pod = mapping(template, "spec")
        if mappings(pod.get("containers")):
            name = display_name(document.object)
            yield Workload(document=document, name=name, metadata=mapping(template, "metadata"), pod=pod)


def condition(item: Object, kind: str) -> Object | None:
    """The condition of this type in the object's status."""
    return next((found for found in mappings(mapping(item, "status").get("conditions")) if found.get("type") == kind), None)


def distinct_reasons(states: list[Object]) -> list[str]:
    """`reason: message` of conditions or container states, without a period and without repetitions."""
    sentences: dict[str, str] = {}
    for state in states:
        reason, message = text(state, "reason"), " ".join(text(state, "message").split()).rstrip(".")
        if (message or reason) and not any(earlier in (message or reason) for earlier in sentences):
            sentences[message or reason] = f"{reason}: {message}" if reason and message else message or reason
    return list(sentences.values())


def environment(container: Object) -> dict[str, str]:
    """The variables of a container that have a literal value."""
    return {text(variable, "name"): text(variable, "value") for variable in mappings(container.get("env")) if "value" in variable}


def nested(value: Any, key: str) -> Iterator[Object]:
    """All mappings under this key, at any depth."""
    if isinstance(value, dict):
        found = value.get(key)
        if isinstance(found, dict):
            yield found
        for item in value.values():
            yield from nested(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from nested(item, key)
