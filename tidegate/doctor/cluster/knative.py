"""The controllers of the kinds that are used: without them, a cluster stores an object and nothing happens."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import mapping, mappings, name_of, text
from tidegate.doctor.cluster import api_resources, dependencies, versions
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.dependencies import Part
from tidegate.doctor.cluster.target import Served
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, note, ok
from tidegate.documents import Document, Object

_VERSION = "app.kubernetes.io/version"


def check(cluster: Cluster, served: Served) -> Findings[None]:
    """Check the parts of Knative and others that act on the kinds of the manifests."""
    used = parts_used(cluster.documents, served)
    for part in used:
        yield from _check(cluster, part)
    if dependencies.SERVING in used:
        yield from _ingress(cluster)


def parts_used(documents: list[Document], served: Served) -> list[Part]:
    """The parts whose kinds are served and used, and that are known to run as deployments."""
    named = [dependencies.of(*kind) for kind in api_resources.kinds(documents) if kind in served]
    brokers = [dependencies.of_broker(name) for name in sorted(api_resources.broker_classes(documents))]
    found = [part for part in (*named, *brokers) if part is not None and part.deployments]
    if dependencies.JOB_SINK in found:
        found.insert(0, dependencies.EVENTING)
    return list(dict.fromkeys(found))


def _check(cluster: Cluster, part: Part) -> Iterator[Finding]:
    try:
        there = cluster.items(f"/apis/apps/v1/namespaces/{part.namespace}/deployments")
    except NotInspectable as reason:
        yield note(part.name, f"its deployments could not be inspected: {reason}")
        return
    yield from running(part, there)
    yield from version(part, there, _kubernetes(cluster))


def running(part: Part, there: list[Object]) -> Iterator[Finding]:
    """The findings of the part's own deployments, among those of its namespace."""
    by_name = {name_of(item): item for item in there}
    for name in part.deployments:
        where = f"the deployment {name} in the namespace {part.namespace}"
        if name not in by_name:
            yield error(
                part.name, f"{where} is missing: the cluster stores its objects, and nothing acts on them.", f"install it: {part.install}"
            )
        elif reason := _unavailable(by_name[name]):
            yield error(part.name, f"{where} is not available: {reason}", f"kubectl -n {part.namespace} describe deployment {name}")
    if part.deployments and all(name in by_name and not _unavailable(by_name[name]) for name in part.deployments):
        yield ok(part.name, f"{', '.join(part.deployments)}: available")


def version(part: Part, there: list[Object], kubernetes: str) -> Iterator[Finding]:
    """The findings of a Knative's version, which its deployments have as a label."""
    if part not in (dependencies.SERVING, dependencies.EVENTING):
        return
    labels = next((mapping(item, "metadata", "labels") for item in there if name_of(item) == part.deployments[0]), None)
    if labels is None:
        return
    label = text(labels, _VERSION)
    found = versions.parse(label)
    oldest = versions.formatted(versions.OLDEST_KNATIVE)
    if found is None:
        yield note(part.name, f"its version is unknown ({label or 'no label ' + _VERSION}); {oldest} or newer is needed.")
    elif found < versions.OLDEST_KNATIVE:
        yield error(part.name, f"is {label}; {oldest} or newer is needed.", f"upgrade it: {part.install}")
    else:
        yield ok(part.name, f"version {label}")
        if too_old := versions.kubernetes_problem(kubernetes, found):
            yield error(part.name, f"the cluster is Kubernetes {kubernetes}; {too_old}", "upgrade the cluster")


def _ingress(cluster: Cluster) -> Iterator[Finding]:
    try:
        network = cluster.get(f"/api/v1/namespaces/{dependencies.SERVING.namespace}/configmaps/config-network")
        there = cluster.items(f"/apis/apps/v1/namespaces/{dependencies.SERVING.namespace}/deployments")
    except NotInspectable as reason:
        yield note("ingress", f"could not be inspected: {reason}")
        return
    yield from ingress(network, there)


def ingress(network: Object | None, there: list[Object]) -> Iterator[Finding]:
    """The findings of the ingress controller that `network`, Knative Serving's ConfigMap config-network, names."""
    if network is None:
        yield error("ingress", "Knative Serving's ConfigMap config-network is missing.", f"install it: {dependencies.SERVING.install}")
        return
    data = mapping(network, "data")
    chosen = text(data, "ingress-class") or text(data, "ingress.class") or dependencies.DEFAULT_INGRESS
    part = dependencies.INGRESSES.get(chosen)
    if part is None:
        yield note("ingress", f"the class {chosen} is unknown to tidegate: its controller is not inspected.")
        return
    where = "" if "ingress-class" in data else " (the default, since config-network names none)"
    for found in running(part, there):
        yield Finding(found.level, "ingress", f"{chosen}{where}: {found.message}", found.remedy)


def _kubernetes(cluster: Cluster) -> str:
    return text(cluster.get("/version") or {}, "gitVersion")


def _unavailable(deployment: Object) -> str:
    """The reason why no replica is available; empty if one is, or if none is wanted."""
    if mapping(deployment, "status").get("availableReplicas") or mapping(deployment, "spec").get("replicas") == 0:
        return ""
    conditions = mappings(mapping(deployment, "status").get("conditions"))
    reasons = [text(item, "message") for item in conditions if item.get("status") == "False" or item.get("type") == "ReplicaFailure"]
    return " ".join(filter(None, reasons)) or "no replica has started."
