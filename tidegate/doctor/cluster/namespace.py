"""The namespace: whether it exists, has room in its quota, and admits the pods of the manifests."""

from __future__ import annotations

from tidegate.doctor.accessors import Workload, mapping, name_of, text, workloads
from tidegate.doctor.cluster import limits
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, listed, note, ok
from tidegate.documents import Document, Object

_ENFORCED = "pod-security.kubernetes.io/enforce"
# The fields that Pod Security and quotas depend on; probes and environment may need objects that do not exist yet.
_CONTAINER_FIELDS = ("name", "image", "resources", "securityContext", "volumeMounts")
_POD_FIELDS = ("securityContext", "volumes", "hostNetwork", "hostPID", "hostIPC", "runtimeClassName", "priorityClassName")


def intended(documents: list[Document]) -> str:
    """The namespace that all workloads name, as in an overlay with `namespace:`; empty if they name none or several."""
    named = {text(mapping(workload.document.object, "metadata"), "namespace") for workload in workloads(documents)}
    return named.pop() if len(named) == 1 else ""


def check(cluster: Cluster) -> Findings[bool]:
    """Check the namespace that is deployed to. Returns False if it does not exist."""
    namespace = cluster.namespace
    subject = f"namespace {namespace}"
    others = sorted({cluster.namespace_of(item.document.object) for item in workloads(cluster.documents)} - {namespace})
    if others:
        yield note(subject, f"is not the namespace of all pods: some name {listed(others)}, whose quota and admission are not inspected")
    try:
        found = cluster.get(f"/api/v1/namespaces/{namespace}")
    except NotInspectable as reason:
        yield note(subject, f"could not be inspected: {reason}")
        return True
    if found is None:
        yield _absent(cluster, subject)
        return False
    yield _present(subject, namespace, found)
    return True


def _present(subject: str, namespace: str, found: Object) -> Finding:
    if text(mapping(found, "status"), "phase") == "Terminating":
        remedy = f"wait until it is deleted, then: kubectl create namespace {namespace}"
        return error(subject, "is being deleted: no object can be created in it.", remedy)
    level = text(mapping(found, "metadata", "labels"), _ENFORCED)
    return ok(subject, f"exists; Pod Security: {level}" if level else "exists; it enforces no level of Pod Security")


def _absent(cluster: Cluster, subject: str) -> Finding:
    if any(item.object.get("kind") == "Namespace" and name_of(item.object) == cluster.namespace for item in cluster.documents):
        return note(subject, "does not exist yet; the manifests create it, and until then less can be inspected.")
    return error(subject, "does not exist.", f"kubectl create namespace {cluster.namespace}")


def check_quota(cluster: Cluster) -> Findings[None]:
    """Check the quotas and limit ranges of the namespace."""
    ours = _ours(cluster)
    try:
        ranges = cluster.items(f"/api/v1/namespaces/{cluster.namespace}/limitranges")
        yield from limits.ranges(ranges, ours)
    except NotInspectable as reason:
        ranges = []
        yield note("limit range", f"could not be inspected: {reason}")
    try:
        found = cluster.items(f"/api/v1/namespaces/{cluster.namespace}/resourcequotas")
    except NotInspectable as reason:
        yield note("quota", f"could not be inspected: {reason}")
        return
    if not found:
        yield ok("quota", "the namespace has none")
    yield from limits.quotas(found, ours, limits.defaults(ranges))


def check_admission(cluster: Cluster) -> Findings[None]:
    """Dry-run one pod of each workload, since only the cluster itself knows all of its admission policies."""
    refused = False
    ours = _ours(cluster)
    for workload in ours:
        answer = cluster.try_create(f"/api/v1/namespaces/{cluster.namespace}/pods", pod(workload))
        if answer.status in (200, 201):
            continue
        refused = True
        # A namespace gets its default account a moment after it is made.
        if answer.status == 403 and ("cannot create resource" in answer.sentence or "looking up service account" in answer.sentence):
            yield note("pods", f"their admission could not be inspected: {answer.sentence}")
            return
        yield _refusal(workload, answer.sentence)
    if ours and not refused:
        yield ok("pods", "one of each workload would be admitted")


def pod(workload: Workload) -> Object:
    """The parts of a pod that admission depends on, without the service account, which the manifests may create."""
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
        remedy = f"fix {workload.document.source}"
    return error("pods", f"one of {workload.name} would be refused: {sentence}", remedy)


def _ours(cluster: Cluster) -> list[Workload]:
    return [item for item in workloads(cluster.documents) if cluster.namespace_of(item.document.object) == cluster.namespace]
