"""Knative Services that are on the cluster already and not ready: why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.doctor.cluster import Cluster
from tidegate.doctor.finding import Finding, Unseen, error, ok, warning
from tidegate.doctor.plain import is_knative_service, mapping, mappings, name_of, text
from tidegate.objects import Object

# By what Knative (or the pod, through Knative) says: reason and message of a condition, in the order in which they are tried.
_REMEDIES = (
    (r"its card promises|has the sha256", "the image has another artifact than its card describes: make train, then build the image anew"),
    (r"ContainerMissing|Unable to fetch image|ImagePullBackOff|ErrImagePull|InvalidImageName",
     "push the image under that name, give the namespace a pull secret if the registry wants one, or name another image"),
    (r"exceeded quota|failed quota|must specify", "have the quota raised, or change the requests: kubectl -n {namespace} describe quota"),
    (r"Unschedulable|Insufficient|nodes are available", "lower the requests of the container, or add a node: kubectl describe nodes"),
    (r"OOMKilled|ExitCode137", "raise limits.memory of the container"),
    (r"ExitCode|Container failed with|CrashLoopBackOff",
     "kubectl -n {namespace} logs -l serving.knative.dev/service={name} -c {container} --previous --tail=20"),
    (r"ProgressDeadlineExceeded|Initial scale was never achieved",
     "kubectl -n {namespace} describe pods -l serving.knative.dev/service={name}"),
    (r"IngressNotConfigured|Uninitialized|LoadBalancer", "look at the ingress of the cluster: kubectl get kingress -A"),
    (r"RevisionMissing|RevisionFailed|Revision \".*\" (failed|not found)",
     "look at its revisions: kubectl -n {namespace} get revisions -l serving.knative.dev/service={name}"),
)  # fmt: skip
_OTHERWISE = "kubectl -n {namespace} describe ksvc {name}"


def check(cluster: Cluster) -> Iterator[Finding]:
    """Raises Unseen."""
    for item in (document.object for document in cluster.documents if is_knative_service(document.object)):
        live = cluster.live(item)
        if live is None:
            continue
        namespace = cluster.namespace_of(item)
        newest = text(mapping(live, "status"), "latestCreatedRevisionName")
        path = f"/apis/{text(item, 'apiVersion')}/namespaces/{namespace}/revisions/{newest}"
        yield judge(live, cluster.get(path) if newest else None, namespace, _pods(cluster, namespace, newest) if newest else [])


def _pods(cluster: Cluster, namespace: str, revision: str) -> list[Object]:
    try:
        return cluster.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"serving.knative.dev/revision={revision}")
    except Unseen:  # they only make the reason plainer
        return []


def judge(service: Object, newest: Object | None, namespace: str, pods: list[Object]) -> Finding:
    """`newest` is the revision that was made last, and `pods` are its own: they know more of a failure than the service, and sooner."""
    name = name_of(service)
    subject = f"service {name}"
    ready = _condition(service, "Ready")
    if ready is None or mapping(service, "status").get("observedGeneration") != mapping(service, "metadata").get("generation"):
        remedy = "wait a moment; if it stays so, look whether the deployment controller in knative-serving runs"
        return warning(subject, "no controller has looked at it since it was changed.", remedy)
    if ready.get("status") == "True":
        return ok(subject, f"is ready: {text(mapping(service, 'status'), 'url')}")
    told = [*of_pods(pods), *reasons(service, newest)]
    remedy = remedy_for(" ".join(told)).format(name=name, namespace=namespace, container=_container(service))
    if ready.get("status") == "Unknown":
        return warning(subject, f"is not ready yet. {' '.join(told)}".strip(), remedy)
    return error(subject, f"is not ready. {' '.join(told)}".strip(), remedy)


def _container(service: Object) -> str:
    """What Knative calls a container that has no name of its own."""
    named = mappings(mapping(service, "spec", "template", "spec").get("containers"))
    return (text(named[0], "name") if named else "") or "user-container"


def reasons(service: Object, newest: Object | None) -> list[str]:
    """What the conditions say, the deepest first and nothing twice."""
    found = [item for owner in (newest, service) if owner for item in mappings(mapping(owner, "status").get("conditions"))]
    told: dict[str, str] = {}
    for item in found:
        message = text(item, "message")
        if item.get("status") == "True" or item.get("severity") == "Info" or any(earlier in message for earlier in told):
            continue
        if message:
            told[message] = text(item, "reason")
    return [_told(reason, message) for message, reason in told.items()]


def of_pods(pods: list[Object]) -> list[str]:
    """Why containers do not start, or with which words they ended; Knative has Kubernetes keep the end of their log."""
    statuses = [item for pod in pods for item in mappings(mapping(pod, "status").get("containerStatuses"))]
    places = (("lastState", "terminated"), ("state", "terminated"), ("state", "waiting"))
    states = [mapping(item, *place) for item in statuses for place in places]
    return list(dict.fromkeys(_told(text(state, "reason"), text(state, "message")) for state in states if text(state, "message")))


def _told(reason: str, message: str) -> str:
    return f"{reason}: {_sentence(message)}" if reason else _sentence(message)


def remedy_for(told: str) -> str:
    return next((remedy for words, remedy in _REMEDIES if re.search(words, told)), _OTHERWISE)


def _condition(item: Object, kind: str) -> Object | None:
    return next((found for found in mappings(mapping(item, "status").get("conditions")) if found.get("type") == kind), None)


def _sentence(message: str) -> str:
    words = " ".join(message.split())
    return words if words.endswith((".", "?")) else f"{words}."
