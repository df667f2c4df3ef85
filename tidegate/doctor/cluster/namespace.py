"""The namespace: there, and willing to run these pods."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import Workload, mapping, name_of, text, workloads
from tidegate.doctor.cluster import limits
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, Unseen, error, listed, note, ok
from tidegate.objects import Document, Object

_ENFORCED = "pod-security.kubernetes.io/enforce"
# What Pod Security and quotas look at; probes and environment need what only Knative or a later object gives.
_CONTAINER_FIELDS = ("name", "image", "resources", "securityContext", "volumeMounts")
_POD_FIELDS = ("securityContext", "volumes", "hostNetwork", "hostPID", "hostIPC", "runtimeClassName", "priorityClassName")


def intended(documents: list[Document]) -> str:
    """The one that all workloads name, as those of an overlay with `namespace:` do; empty if there is none."""
    named = {text(mapping(workload.document.object, "metadata"), "namespace") for workload in workloads(documents)}
    return named.pop() if len(named) == 1 else ""


def check(cluster: Cluster) -> Iterator[Finding]:
    """Fills `cluster.has_namespace`."""
    namespace = cluster.namespace
    subject = f"namespace {namespace}"
    others = sorted({cluster.namespace_of(item.document.object) for item in workloads(cluster.documents)} - {namespace})
    if others:
        yield note(subject, f"is not where all pods go: some name {listed(others)}, whose quota and admission are not looked at")
    try:
        found = cluster.get(f"/api/v1/namespaces/{namespace}")
    except Unseen as reason:
        yield note(subject, f"whether it exists could not be looked at: {reason}")
        return
    if found is None:
        cluster.has_namespace = False
        yield _absent(cluster, subject)
    elif text(mapping(found, "status"), "phase") == "Terminating":
        yield error(
            subject, "is being deleted: nothing can be made in it.", "wait until it is gone, then: kubectl create namespace " + namespace
        )
    else:
        level = text(mapping(found, "metadata", "labels"), _ENFORCED)
        yield ok(subject, f"exists; Pod Security: {level}" if level else "exists; it enforces no level of Pod Security")


def _absent(cluster: Cluster, subject: str) -> Finding:
    if any(item.object.get("kind") == "Namespace" and name_of(item.object) == cluster.namespace for item in cluster.documents):
        return note(subject, "is not there yet; the manifests make it, and until then less can be looked at.")
    return error(subject, "does not exist.", f"kubectl create namespace {cluster.namespace}")


def room(cluster: Cluster) -> Iterator[Finding]:
    """Quotas and limits."""
    if not cluster.has_namespace:
        return
    ours = _ours(cluster)
    try:
        ranges = cluster.items(f"/api/v1/namespaces/{cluster.namespace}/limitranges")
        yield from limits.ranges(ranges, ours)
    except Unseen as reason:
        ranges = []
        yield note("limit range", f"could not be looked at: {reason}")
    try:
        found = cluster.items(f"/api/v1/namespaces/{cluster.namespace}/resourcequotas")
    except Unseen as reason:
        yield note("quota", f"could not be looked at: {reason}")
        return
    if not found:
        yield ok("quota", "there is none")
    yield from limits.quotas(found, ours, limits.defaults(ranges))


def admitted(cluster: Cluster) -> Iterator[Finding]:
    """A dry run of one pod of each workload: only the cluster itself knows all that stands between a pod and its start."""
    refused = False
    for workload in _ours(cluster) if cluster.has_namespace else []:
        answer = cluster.created(f"/api/v1/namespaces/{cluster.namespace}/pods", pod(workload))
        if answer.status in (200, 201):
            continue
        refused = True
        # A namespace gets its default account a moment after it is made.
        if answer.status == 403 and ("cannot create resource" in answer.sentence or "looking up service account" in answer.sentence):
            yield note("pods", f"whether they would be admitted could not be looked at: {answer.sentence}")
            return
        yield _refusal(workload, answer.sentence)
    if cluster.has_namespace and _ours(cluster) and not refused:
        yield ok("pods", "one of each workload would be admitted")


def pod(workload: Workload) -> Object:
    """As far as admission looks at it, without the service account, which may be made by the same manifests."""
    containers = [
        {"name": f"container-{number}", "image": "unnamed", **{name: item[name] for name in _CONTAINER_FIELDS if item.get(name)}}
        for number, item in enumerate(workload.containers)
    ]
    inside = {name: workload.pod[name] for name in _POD_FIELDS if workload.pod.get(name)}
    spec = {"automountServiceAccountToken": False, **inside, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "tidegate-doctor-"}, "spec": spec}


def _refusal(workload: Workload, sentence: str) -> Finding:
    if "PodSecurity" in sentence:
        remedy = "give the containers the securityContext of manifests/base, or have the namespace's level changed"
    elif "exceeded quota" in sentence or "failed quota" in sentence:
        remedy = "have the quota raised, or lower the requests"
    else:
        remedy = f"mend {workload.document.source}"
    return error("pods", f"one of {workload.name} would be refused: {sentence}", remedy)


def _ours(cluster: Cluster) -> list[Workload]:
    return [item for item in workloads(cluster.documents) if cluster.namespace_of(item.document.object) == cluster.namespace]
