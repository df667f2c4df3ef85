"""Knative Services on the cluster that are not ready: the reason and the remedy."""

from __future__ import annotations

import re

from tidegate.doctor.accessors import condition, distinct_reasons, is_knative_service, mapping, mappings, name_of, text
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.pods import last_line_of
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, ok, shortened, warning
from tidegate.documents import Object

# By reason and message of a condition, whose text is Knative's or the pod's, in the order in which they are tried.
_REMEDIES = (
    (r"has the sha256", "the image has another artifact than its card describes: make train, then build the image again"),
    (r"ContainerMissing|Unable to fetch image|ImagePullBackOff|ErrImagePull|InvalidImageName",
     "push the image under that name, give the namespace a pull secret if the registry wants one, or name another image"),
    (r"exceeded quota|failed quota|must specify", "have the quota raised, or change the requests: kubectl -n {namespace} describe quota"),
    (r"Unschedulable|Insufficient|nodes are available", "lower the requests of the container, or add a node: kubectl describe nodes"),
    (r"OOMKilled|ExitCode137", "raise limits.memory of the container"),
    (r"ExitCode|Container failed with|CrashLoopBackOff",
     "kubectl -n {namespace} logs -l serving.knative.dev/service={name} -c {container} --previous --tail=20"),
    (r"ProgressDeadlineExceeded|Initial scale was never achieved",
     "kubectl -n {namespace} describe pods -l serving.knative.dev/service={name}"),
    (r"IngressNotConfigured|Uninitialized|LoadBalancer", "check the ingress of the cluster: kubectl get kingress -A"),
    (r"RevisionMissing|RevisionFailed|Revision \".*\" (failed|not found)",
     "check its revisions: kubectl -n {namespace} get revisions -l serving.knative.dev/service={name}"),
)  # fmt: skip
_OTHERWISE = "kubectl -n {namespace} describe ksvc {name}"


def check(target: Target) -> Findings[None]:
    """Check the Knative Services of the manifests that exist. Raises NotInspectable."""
    cluster = target.cluster
    for item in (document.object for document in cluster.documents if is_knative_service(document.object)):
        live = target.live(item)
        if live is None:
            continue
        namespace = cluster.namespace_of(item)
        newest = text(mapping(live, "status"), "latestCreatedRevisionName")
        path = f"/apis/{text(item, 'apiVersion')}/namespaces/{namespace}/revisions/{newest}"
        yield judge(live, cluster.get(path) if newest else None, namespace, _pods(cluster, namespace, newest) if newest else [])


def _pods(cluster: Cluster, namespace: str, revision: str) -> list[Object]:
    try:
        return cluster.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"serving.knative.dev/revision={revision}")
    except NotInspectable:  # they only make the reason plainer
        return []


def judge(service: Object, newest: Object | None, namespace: str, pods: list[Object]) -> Finding:
    """The finding of a Service by its newest revision and its pods, which show a failure earlier and in detail."""
    name = name_of(service)
    subject = f"service {name}"
    ready = condition(service, "Ready")
    if ready is None or mapping(service, "status").get("observedGeneration") != mapping(service, "metadata").get("generation"):
        remedy = "wait a moment, then check that the deployment controller in knative-serving runs"
        return warning(subject, "no controller has observed its last change.", remedy)
    if ready.get("status") == "True":
        return ok(subject, f"is ready: {text(mapping(service, 'status'), 'url')}")
    reasons = " ".join(f"{sentence}." for sentence in distinct_reasons([*of_pods(pods), *of_conditions(service, newest)]))
    remedy = remedy_for(reasons).format(name=name, namespace=namespace, container=_container(service))
    if ready.get("status") == "Unknown":
        return warning(subject, shortened(f"is not ready yet. {reasons}"), remedy)
    return error(subject, shortened(f"is not ready. {reasons}"), remedy)


def _container(service: Object) -> str:
    """The name of the first container, which Knative gives if there is none."""
    named = mappings(mapping(service, "spec", "template", "spec").get("containers"))
    return (text(named[0], "name") if named else "") or "user-container"


def of_conditions(service: Object, newest: Object | None) -> list[Object]:
    """The conditions that are not true and have a message, those of the revision first."""
    found = [item for owner in (newest, service) if owner for item in mappings(mapping(owner, "status").get("conditions"))]
    return [item for item in found if item.get("status") != "True" and item.get("severity") != "Info" and text(item, "message")]


def of_pods(pods: list[Object]) -> list[Object]:
    """The states of containers that wait or have exited; the message is their last log line, which Kubernetes keeps."""
    statuses = [item for pod in pods for item in mappings(mapping(pod, "status").get("containerStatuses"))]
    ended = [mapping(item, place, "terminated") for item in statuses for place in ("lastState", "state")]
    waiting = [mapping(item, "state", "waiting") for item in statuses]
    last = [{**state, "message": last_line_of(text(state, "message"))} for state in ended]
    return [state for state in (*last, *waiting) if text(state, "message")]


def remedy_for(reasons: str) -> str:
    return next((remedy for words, remedy in _REMEDIES if re.search(words, reasons)), _OTHERWISE)
