"""The resources of the API: the admission of each kind's objects, and what clients may do with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from functions.runtime.knative.objects import REVISIONS, SERVICES
from tidegate.local.apiserver.admission import admit_revision, admit_service, parse_service
from tidegate.local.apiserver.status_error import StatusError, webhook_denied
from tidegate.local.apiserver.store import Store
from tidegate.local.objects import rules
from tidegate.local.objects.eventing import BROKER_CLASS
from tidegate.local.objects.kinds import CONFIG_MAPS, SUPPORTED, Kind
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import InvalidObject, Object, without_nulls

_VERBS = ("delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of the API.

    `admit` returns an object with its defaults, which replaces the stored one if that is given. It raises StatusError
    for an object that a cluster would reject.
    """

    kind: Kind
    verbs: tuple[str, ...]
    admit: Callable[[Object, Object | None], Object]


def _service(item: Object, old: Object | None) -> Object:
    return admit_service(item, parse_service(item), old)


def _revision(item: Object, old: Object | None) -> Object:
    if old is None:
        raise StatusError(405, "MethodNotAllowed", "a revision is created by a change of its service's template")
    return admit_revision(item, old)


def _admission_of(kind: Kind) -> Callable[[Object, Object | None], Object]:
    def admit(item: Object, old: Object | None) -> Object:
        name = str((item.get("metadata") or {}).get("name"))
        if (item.get("apiVersion"), item.get("kind")) not in [(version, kind.kind) for version in kind.api_versions]:
            given = f"{item.get('kind')} of {item.get('apiVersion')}"
            raise StatusError.bad_request(f"the object is {given}, want {kind.kind} of {kind.api_versions[0]}.")
        try:
            rules.parse_manifest(item)
        except InvalidObject as error:
            raise StatusError.of(error, kind, name) from None
        admitted = _with_defaults(kind, without_nulls(item))
        if old is not None:
            _check_immutable(kind, admitted, old)
        return admitted

    return admit


def _with_defaults(kind: Kind, item: Object) -> Object:
    metadata = {"namespace": DEFAULT_NAMESPACE, **item["metadata"]}
    # The preferred version is stored; a client gets the version that it asks for.
    admitted: Object = {**item, "apiVersion": kind.api_versions[0], "metadata": metadata}
    if "spec" not in kind.model.model_fields:
        return admitted
    spec = admitted["spec"] = {**_DEFAULTS.get(kind.plural, {}), **item.get("spec", {})}
    if kind.plural == "brokers":
        metadata["annotations"] = {BROKER_CLASS: "Kafka", **metadata.get("annotations", {})}
    if kind.plural == "triggers" and spec.get("broker"):
        metadata["labels"] = {**metadata.get("labels", {}), "eventing.knative.dev/broker": spec["broker"]}
    if kind.plural == "jobs" and "parallelism" not in item["spec"] and "completions" not in item["spec"]:
        spec["completions"] = 1
    if kind.plural == "kafkasources" and not spec.get("consumerGroup"):
        # On a cluster this is random. Here the same source goes on where it was, also after a restart.
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{metadata['namespace']}/{metadata['name']}")
        spec["consumerGroup"] = f"knative-kafka-source-{name}"
    return admitted


def _check_immutable(kind: Kind, item: Object, old: Object) -> None:
    for field in _IMMUTABLE.get(kind.plural, ()):
        if item["spec"].get(field) != old["spec"].get(field):
            raise StatusError.bad_request(f"{webhook_denied(kind)} Immutable fields changed (-old +new): spec.{field}")
    if kind.plural == "brokers" and item["metadata"]["annotations"][BROKER_CLASS] != old["metadata"]["annotations"][BROKER_CLASS]:
        raise StatusError.bad_request(f"{webhook_denied(kind)} Immutable annotations changed (-old +new): annotations")
    if kind.plural == "jobs" and item["spec"].get("template") != old["spec"].get("template"):
        raise _invalid(kind, item, "spec.template: field is immutable")
    if kind.plural == CONFIG_MAPS and old.get("immutable") and any(item.get(f) != old.get(f) for f in ("data", "binaryData", "immutable")):
        raise _invalid(kind, item, "data: Forbidden: field is immutable when `immutable` is set")


def _invalid(kind: Kind, item: Object, problem: str) -> StatusError:
    name = item["metadata"]["name"]
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {problem}', name=name, group=kind.group, kind=kind.kind)


_DEFAULTS: Mapping[str, Object] = {
    "triggers": {"filter": {}},
    "pingsources": {"schedule": "* * * * *"},
    "kafkasources": {"consumers": 1, "initialOffset": "latest", "ordering": "ordered"},
    "kafkasinks": {"contentMode": "binary"},
    "apiserversources": {"mode": "Reference", "serviceAccountName": "default"},
    "jobs": {"backoffLimit": 6, "completionMode": "NonIndexed", "parallelism": 1, "suspend": False},
}
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "brokers": ("config",),
    "triggers": ("broker",),
    "kafkasources": ("consumerGroup",),
    "kafkasinks": ("topic", "numPartitions", "replicationFactor"),
}
_SPECIAL: Mapping[str, Callable[[Object, Object | None], Object]] = {SERVICES: _service, REVISIONS: _revision}

RESOURCES: Mapping[str, Resource] = {
    kind.plural: Resource(
        kind=kind,
        verbs=_VERBS if kind.plural == REVISIONS else ("create", *_VERBS),
        admit=_SPECIAL.get(kind.plural) or _admission_of(kind),
    )
    for kind in SUPPORTED
    if kind.served
}
"""The served resources by the plural names of their kinds."""


Mutate = Callable[[str, Object], Object]
"""Change an object of a resource before its admission, as a mutating webhook does."""


def apply(store: Store, resource: Resource, item: Object, mutate: Mutate) -> Object:
    """Create or replace an object. Raises StatusError as the API would."""
    plural, metadata = resource.kind.plural, item.get("metadata") or {}
    old = store.find(plural, str(metadata.get("name")), metadata.get("namespace") or DEFAULT_NAMESPACE)
    admitted = resource.admit(mutate(plural, item), old)
    return store.update(plural, admitted) if old else store.create(plural, admitted)
