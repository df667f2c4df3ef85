"""Secrets, ConfigMaps and service accounts that pods refer to, and the keys that they must have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from tidegate.doctor.accessors import Workload, display_name, environment, mapping, mappings, name_of, nested, text, workloads
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, listed, note, ok
from tidegate.documents import Object

_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An object that a pod needs, with the keys that it must have. `user` names the workload for a person."""

    kind: str
    name: str
    namespace: str
    user: str
    keys: frozenset[str] = field(default_factory=frozenset)
    files: frozenset[str] = field(default_factory=frozenset)
    """The keys that pods read as files."""


def check(target: Target) -> Findings[None]:
    """Check that each object and key that pods refer to exists, or is in the manifests."""
    found = references(target.cluster)
    problems = [problem for item in found if (problem := _check(target, item))]
    yield from problems
    if found and not problems:
        yield ok(
            "references",
            f"the {len(found)} Secrets, ConfigMaps and service accounts that pods refer to exist, or are in the manifests",
        )


def references(cluster: Cluster) -> list[Reference]:
    """The references of all manifests that are not optional."""
    found: list[Reference] = []
    for workload in workloads(cluster.documents):
        found += of_workload(workload, cluster.namespace_of(workload.document.object))
    for document in cluster.documents:
        if not any(workload.document is document for workload in workloads([document])):
            place = cluster.namespace_of(document.object)
            user = display_name(document.object)
            found += [
                Reference(kind=kind, name=name, namespace=place, user=user, keys=keys)
                for kind, name, keys in _keys(document.object)
                if name
            ]
    return merged(found)


def of_workload(workload: Workload, namespace: str) -> Iterator[Reference]:
    """The references of one workload; an object may have several."""
    named = [*_keys(workload.pod), *_whole(workload.pod)]
    if account := text(workload.pod, "serviceAccountName"):
        named.append(("ServiceAccount", account, frozenset()))
    for kind, name, keys in named:
        if name:
            yield Reference(kind=kind, name=name, namespace=namespace, user=workload.name, keys=keys)
    for kind, name, keys in _read_as_files(workload):
        yield Reference(kind=kind, name=name, namespace=namespace, user=workload.name, keys=keys, files=keys)


def merged(found: list[Reference]) -> list[Reference]:
    """One reference for each object, with all its users and keys, since one command must create it with all of them."""
    by_name: dict[tuple[str, str, str], Reference] = {}
    for item in found:
        place = (item.kind, item.namespace, item.name)
        known = by_name.get(place, item)
        users = known.user if item.user in known.user.split(", ") else f"{known.user}, {item.user}"
        by_name[place] = replace(known, user=users, keys=known.keys | item.keys, files=known.files | item.files)
    return list(by_name.values())


def missing(item: Reference, there: Object | None) -> str:
    """The name of the missing object or keys; empty if none are missing."""
    if there is None:
        return f"the {item.kind} {item.name}"
    keys = {*mapping(there, "data"), *mapping(there, "stringData"), *mapping(there, "binaryData")}
    absent = sorted(item.keys - keys)
    return f"{listed(absent)} in the {item.kind} {item.name}" if absent else ""


def _check(target: Target, item: Reference) -> Finding | None:
    cluster = target.cluster
    ours = next((found.object for found in cluster.documents if _is(cluster, found.object, item)), None)
    try:
        path = f"/api/v1/namespaces/{item.namespace}/{_PLURALS[item.kind]}/{item.name}"
        there = ours or (cluster.get(path) if target.has_namespace else None)
    except NotInspectable as reason:
        return note(item.user, f"the {item.kind} {item.name} could not be inspected: {reason}")
    absent = missing(item, there)
    message = f"{absent}, which it needs, is neither on the cluster nor in the manifests."
    return error(item.user, message, remedy(item, there)) if absent else None


def _is(cluster: Cluster, found: Object, item: Reference) -> bool:
    return (found.get("kind"), name_of(found), cluster.namespace_of(found)) == (item.kind, item.name, item.namespace)


def remedy(item: Reference, there: Object | None) -> str:
    """One command that adds all that is missing."""
    if there is not None:
        return _addition(item, there)
    if item.kind == "ServiceAccount":
        return f"kubectl -n {item.namespace} create serviceaccount {item.name}"
    keys = "".join(f" --from-{'file' if key in item.files else 'literal'}={key}=…" for key in sorted(item.keys))
    kind = "secret generic" if item.kind == "Secret" else "configmap"
    return f"kubectl -n {item.namespace} create {kind} {item.name}{keys or ' --from-file=…'}"


def _addition(item: Reference, there: Object) -> str:
    """The command that gives an existing object its missing keys."""
    lacking = sorted(item.keys - {*mapping(there, "data"), *mapping(there, "stringData"), *mapping(there, "binaryData")})
    field_ = "stringData" if item.kind == "Secret" else "data"
    patch = ", ".join(f'"{key}": "…"' for key in lacking)
    return f"kubectl -n {item.namespace} patch {item.kind.lower()} {item.name} --type merge -p '{{\"{field_}\": {{{patch}}}}}'"


_Named = tuple[str, str, frozenset[str]]


def _keys(value: Any) -> Iterator[_Named]:
    """References to single keys: in variables of containers, in the credentials of a KafkaSource."""
    for field_, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        for ref in nested(value, field_):
            if ref.get("optional") is not True:
                yield kind, text(ref, "name"), frozenset(filter(None, [text(ref, "key")]))


def _whole(pod: Object) -> Iterator[_Named]:
    for container in (*mappings(pod.get("containers")), *mappings(pod.get("initContainers"))):
        for source in mappings(container.get("envFrom")):
            yield from _source(source, "secretRef", "configMapRef", "name")
    for volume in mappings(pod.get("volumes")):
        yield from _source(volume, "secret", "configMap", "secretName")
        for source in mappings(mapping(volume, "projected").get("sources")):
            yield from _source(source, "secret", "configMap", "name")
    for ref in mappings(pod.get("imagePullSecrets")):
        yield "Secret", text(ref, "name"), frozenset()


def _read_as_files(workload: Workload) -> Iterator[_Named]:
    """Keys of mounted Secrets and ConfigMaps that variables name as files, such as /etc/kafka/ca.crt."""
    volumes = {text(volume, "name"): volume for volume in mappings(workload.pod.get("volumes"))}
    for container in workload.containers:
        values = [PurePosixPath(value) for value in environment(container).values() if value.startswith("/")]
        for mount in mappings(container.get("volumeMounts")):
            folder = PurePosixPath(text(mount, "mountPath") or "/")
            keys = frozenset(path.name for path in values if path.parent == folder)
            for kind, name, named in _source(volumes.get(text(mount, "name"), {}), "secret", "configMap", "secretName"):
                if keys and not named:  # with `items`, a file may have another name than its key
                    yield kind, name, keys


def _source(value: Object, secret: str, config_map: str, secret_name: str) -> Iterator[_Named]:
    for field_, kind, name in ((secret, "Secret", secret_name), (config_map, "ConfigMap", "name")):
        ref = mapping(value, field_)
        if ref and ref.get("optional") is not True:
            yield kind, text(ref, name), frozenset(text(item, "key") for item in mappings(ref.get("items")))
