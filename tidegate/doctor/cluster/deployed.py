"""Deployments, Jobs, sources and bindings on the cluster: their state, and the cause and remedy of a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.doctor.accessors import (
    condition,
    display_name,
    distinct_reasons,
    is_knative_service,
    kubectl_name,
    mapping,
    mappings,
    name_of,
    text,
)
from tidegate.doctor.cluster import pods
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.pods import Logs, Problem
from tidegate.doctor.cluster.target import Target
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, ok, shortened, warning
from tidegate.documents import Object

_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")
# Groups whose objects have a condition Ready. Knative Services have a check of their own.
_WITH_CONDITIONS = re.compile(r"(^|\.)(knative\.dev|keda\.sh)$")
# By a container's last log line or Kubernetes' own message, in the order in which they are tried.
_REMEDIES = (
    (r"no Kafka broker answers",
     "add components/kafka-single-node for a first Kafka, name yours by components/kafka-address, or leave the worker out by"
     " components/without-stream"),
    (r"Kafka|SASL|certificate of", "check the Secret `kafka` and components/kafka-sasl-tls"),
    (r"K_SINK", "kubectl {of}get sinkbindings: the worker gets its sink as soon as the router has an address"),
    (r"ImagePull|ErrImage|InvalidImageName",
     "push the image under that name, give the namespace a pull secret if the registry wants one, or name another image"),
    (r"CreateContainerConfigError|secret .* not found|configmap .* not found",
     "create the object that it names: kubectl {of}get secrets,configmaps"),
    (r"Unschedulable|Insufficient|nodes are available", "lower the requests of the container, or add a node: kubectl describe nodes"),
    (r"OOMKilled", "raise limits.memory of the container"),
)  # fmt: skip
_SINK_REMEDIES = (
    (r"oidc|OIDC", "kubectl patch configmap/config-features -n knative-eventing --type merge"
                   """ -p '{{"data":{{"authentication-oidc":"enabled"}}}}'"""),
    (r"[Ss]ink|[Ss]ubscriber|address", "get its sink ready, then try again: kubectl {of}get ksvc,jobsinks,brokers"),
    (r"[Ss]ubject", "deploy the Deployment that it names"),
)  # fmt: skip


def check(target: Target) -> Findings[None]:
    """Check the objects of the manifests that exist. Raises NotInspectable."""
    cluster = target.cluster
    for item in (document.object for document in cluster.documents):
        live = target.live(item)
        if live is None:
            continue
        namespace, kind = cluster.namespace_of(item), text(item, "kind")
        if kind in _RUNNING:
            yield judge_running(live, _pods(cluster, namespace, live), cluster.log, namespace)
        elif kind in ("Job", "JobSink"):
            yield from _of_jobs(cluster, item, live, namespace)
        elif not is_knative_service(item) and _WITH_CONDITIONS.search(text(item, "apiVersion").partition("/")[0]):
            yield from judge_condition(live, namespace)


def judge_running(live: Object, its_pods: list[Object], logs: Logs, namespace: str) -> Finding:
    """The finding of a Deployment, a StatefulSet or a DaemonSet with its pods."""
    subject, status = display_name(live), mapping(live, "status")
    wanted = mapping(live, "spec").get("replicas", status.get("desiredNumberScheduled", 1))
    ready = status.get("readyReplicas", status.get("numberReady", 0))
    if isinstance(ready, int) and isinstance(wanted, int) and ready >= wanted:
        return ok(subject, f"{ready} of {wanted} pods are ready" if wanted else "is scaled to zero")
    if found := pods.problem(its_pods, logs):
        return error(subject, f"{ready} of {wanted} pods are ready. {found.sentence}.", _remedy_for(found, live, namespace))
    if reason := next(filter(None, (_failure(live, kind) for kind in ("ReplicaFailure", "Progressing", "Available"))), ""):
        return error(subject, f"{ready} of {wanted} pods are ready. {reason}", f"kubectl describe {kubectl_name(live)}")
    return warning(subject, f"{ready} of {wanted} pods are ready yet.", f"kubectl rollout status {kubectl_name(live)}")


def judge_jobs(name: str, jobs: list[Object], its_pods: list[Object], logs: Logs, namespace: str) -> Iterator[Finding]:
    """A warning if any Job of a JobSink, or one Job, has failed; `its_pods` are the pods of all of them."""
    failed = [job for job in jobs if (condition(job, "Failed") or {}).get("status") == "True"]
    if not failed:
        return
    newest = max(failed, key=lambda job: text(mapping(job, "metadata"), "creationTimestamp"))
    why = condition(newest, "Failed") or {}
    own = [pod for pod in its_pods if mapping(pod, "metadata", "labels").get("job-name") == name_of(newest)]
    found = pods.problem(own, logs)
    reason = f"{text(why, 'reason')}: {found.sentence}" if found else f"{text(why, 'reason')}: {text(why, 'message').rstrip('.')}"
    share = f"{len(failed)} of {len(jobs)} Jobs have failed; " if len(jobs) > 1 else ""
    remedy = f"kubectl -n {namespace} logs job/{name_of(newest)} --tail=20"
    if text(why, "reason") == "DeadlineExceeded":
        remedy = "raise spec.job.spec.activeDeadlineSeconds, or divide the work"
    yield warning(name, f"{share}{name_of(newest)} has failed. {reason}.", remedy)


def judge_condition(live: Object, namespace: str) -> Iterator[Finding]:
    """The finding of an object that has a condition Ready; none if its kind has no such condition."""
    subject, ready = display_name(live), condition(live, "Ready")
    status, metadata = mapping(live, "status"), mapping(live, "metadata")
    if not status or status.get("observedGeneration", metadata.get("generation")) != metadata.get("generation"):
        remedy = "wait a moment, then check that its controller runs: kubectl get deployments -A"
        yield warning(subject, "no controller has observed its last change.", remedy)
    elif ready is None:
        return
    elif ready.get("status") == "True":
        yield ok(subject, "is ready")
    else:
        reasons = shortened(". ".join(distinct_reasons(_not_true(live))) or "its controller gives no reason", 170)
        remedy = _chosen(_SINK_REMEDIES, reasons, _of(namespace)) or f"kubectl describe {kubectl_name(live)}"
        finding = error if ready.get("status") == "False" else warning
        yield finding(subject, f"is not ready. {reasons.rstrip('.')}.", remedy)


def _of_jobs(cluster: Cluster, item: Object, live: Object, namespace: str) -> Iterator[Finding]:
    if text(item, "kind") == "Job":
        jobs, labels = [live], {"job-name": name_of(item)}
    else:
        yield from judge_condition(live, namespace)
        labels = mapping(item, "spec", "job", "metadata", "labels")
        jobs = cluster.items(f"/apis/batch/v1/namespaces/{namespace}/jobs", labelSelector=_selector(labels)) if labels else []
    found = cluster.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=_selector(labels)) if jobs else []
    yield from judge_jobs(display_name(item), jobs, found, cluster.log, namespace)


def _pods(cluster: Cluster, namespace: str, live: Object) -> list[Object]:
    labels = mapping(live, "spec", "selector", "matchLabels")
    try:
        return cluster.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=_selector(labels)) if labels else []
    except NotInspectable:  # pods only add detail to the reason
        return []


def _selector(labels: Object) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _remedy_for(found: Problem, live: Object, namespace: str) -> str:
    command = f"kubectl logs {kubectl_name(live)} -c {found.container} --previous --tail=20"
    if found.exit_code is None:
        command = f"kubectl {_of(namespace)}describe pods -l {_selector(mapping(live, 'spec', 'selector', 'matchLabels'))}"
    return _chosen(_REMEDIES, f"{found.reason} {found.last_line}", _of(namespace)) or found.advice or command


def _chosen(remedies: tuple[tuple[str, str], ...], reasons: str, of: str) -> str:
    return next((remedy.format(of=of) for words, remedy in remedies if re.search(words, reasons)), "")


def _of(namespace: str) -> str:
    return f"-n {namespace} "


def _failure(live: Object, kind: str) -> str:
    found = condition(live, kind) or {}
    bad = found.get("status") == ("True" if kind == "ReplicaFailure" else "False")
    return text(found, "message") if bad else ""


def _not_true(live: Object) -> list[Object]:
    """The conditions that are not true. Ready is the last, since it repeats the others."""
    conditions = [item for item in mappings(mapping(live, "status").get("conditions")) if item.get("status") != "True"]
    return sorted(conditions, key=lambda item: item.get("type") == "Ready")
