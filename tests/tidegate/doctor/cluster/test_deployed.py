"""Workers, Jobs, sources and bindings of a cluster: the reason and the remedy of a failure."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.doctor.cluster import deployed
from tidegate.doctor.finding import MAX_CHARACTERS, Level

Object = dict[str, Any]
NO_KAFKA = (
    "2026-11-27 04:46:39,547 ERROR tidegate.stream: no Kafka broker answers at kafka.kafka.svc:9092 (Temporary failure in name resolution);"
    " start one there, or name another address (TIDEGATE_BOOTSTRAP_SERVERS).\n"
)


def _worker(ready: int = 0, replicas: int = 1) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "stream-flights", "namespace": "mine"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app.kubernetes.io/name": "stream-flights"}}},
        "status": {"readyReplicas": ready},
    }


def _pod(container: Object, *, made: str = "2026-11-27T04:46:00Z", **labels: str) -> Object:
    status = {"containerStatuses": [{"name": "stream", "ready": False, **container}]}
    return {"metadata": {"name": "stream-flights-1", "creationTimestamp": made, "labels": labels}, "status": status}


def _ended(code: int, reason: str = "Error", message: str = "") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def _no_log(pod: Object, container: str) -> str:
    return ""


def test_worker_without_kafka_has_its_last_log_line_and_a_remedy() -> None:
    """The first failure that a new user meets: the Deployment exists, and its container exits again and again."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container=stream pod=x_mine(0f3)"}}
    pod = _pod({"restartCount": 4, "state": waiting, "lastState": _ended(1)})
    found = deployed.judge_running(_worker(), [pod], lambda _pod, _container: f"INFO starting\n{NO_KAFKA}", "mine")
    assert (found.level, found.subject) == (Level.ERROR, "Deployment stream-flights")
    assert "0 of 1 pods are ready. stream exits with code 1, restarted 4 times: no Kafka broker answers at" in found.message
    assert found.message.endswith("(Temporary failure in name resolution).")
    assert len(found.message) <= MAX_CHARACTERS
    assert all(component in found.remedy for component in ("kafka-single-node", "kafka-address", "without-stream"))


@pytest.mark.parametrize(
    ("container", "message", "remedy"),
    [
        ({"lastState": _ended(137, "OOMKilled")}, "exits with code 137 (OOMKilled)", "raise limits.memory"),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "waits (ErrImagePull): not found", "push the image"),
        (
            {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "kafka" not found'}}},
            'waits (CreateContainerConfigError): secret "kafka" not found',
            "create the object that it names: kubectl -n mine get secrets",
        ),
        (
            {"state": _ended(3, message="INFO: begins\nValueError: a bug\n")},
            "exits with code 3: ValueError: a bug",
            "kubectl logs -n mine deployment.apps/stream-flights -c stream --previous --tail=20",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failing_container_has_reason_and_remedy(container: Object, message: str, remedy: str) -> None:
    found = deployed.judge_running(_worker(), [_pod(container)], _no_log, "mine")
    assert found.level is Level.ERROR
    assert message in found.message
    assert found.remedy.startswith(remedy)


def test_remedy_in_a_workers_log_is_its_remedy() -> None:
    log = "tidegate: TIDEGATE_STREAM_MODEL is not set; set it to the model that scores the events.\n"
    found = deployed.judge_running(_worker(), [_pod({"lastState": _ended(2)})], lambda _pod, _container: log, "mine")
    assert found.message.endswith("stream exits with code 2: tidegate: TIDEGATE_STREAM_MODEL is not set.")
    assert found.remedy == "set it to the model that scores the events"


def test_unschedulable_pod_is_an_error() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = {"metadata": {"name": "stream-1"}, "status": {"conditions": [condition]}}
    found = deployed.judge_running(_worker(), [pod], _no_log, "mine")
    assert "pod stream-1 waits (Unschedulable): 0/1 nodes are available: 1 Insufficient cpu." in found.message
    assert found.remedy.startswith("lower the requests")


def test_newest_pod_is_inspected_first() -> None:
    old = _pod({"lastState": _ended(2)}, made="2026-11-26T00:00:00Z")
    new = _pod({"lastState": _ended(1)}, made="2026-11-27T00:00:00Z")
    assert "exits with code 1" in deployed.judge_running(_worker(), [old, new], _no_log, "mine").message


@pytest.mark.parametrize(
    ("ready", "replicas", "level"), [(1, 1, Level.OK), (0, 0, Level.OK), (0, 1, Level.WARNING)], ids=["ready", "scaled to zero", "starting"]
)
def test_running_or_starting_worker_is_not_an_error(ready: int, replicas: int, level: Level) -> None:
    assert deployed.judge_running(_worker(ready, replicas), [_pod({"state": {}})], _no_log, "mine").level is level


def test_refused_pods_are_found_by_the_deployments_condition() -> None:
    worker = _worker()
    message = 'pods "x" is forbidden: exceeded quota: small'
    worker["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": message}]
    found = deployed.judge_running(worker, [], _no_log, "mine")
    assert (found.level, "exceeded quota: small" in found.message) == (Level.ERROR, True)


def _job(name: str, reason: str = "", made: str = "2026-11-27T01:00:00Z") -> Object:
    conditions = [{"type": "Failed", "status": "True", "reason": reason, "message": "Job has reached it"}] if reason else []
    return {"metadata": {"name": name, "creationTimestamp": made}, "status": {"conditions": conditions}}


def test_last_failed_job_has_the_log_line_of_its_pod() -> None:
    jobs = [_job("batch-1"), _job("batch-2", "BackoffLimitExceeded"), _job("batch-3", "BackoffLimitExceeded", "2026-11-27T02:00:00Z")]
    pod = _pod({"state": _ended(1, message="tidegate: file /data/x.parquet not found")}, **{"job-name": "batch-3"})
    (found,) = deployed.judge_jobs("JobSink batch", jobs, [pod], _no_log, "mine")
    assert (found.level, found.remedy) == (Level.WARNING, "kubectl -n mine logs job/batch-3 --tail=20")
    assert "2 of 3 Jobs have failed; batch-3 has failed. BackoffLimitExceeded: stream exits with code 1" in found.message
    assert "file /data/x.parquet not found" in found.message


def test_job_over_its_deadline_names_the_field() -> None:
    (found,) = deployed.judge_jobs("JobSink batch", [_job("batch-1", "DeadlineExceeded")], [], _no_log, "mine")
    assert "activeDeadlineSeconds" in found.remedy
    assert not list(deployed.judge_jobs("JobSink batch", [_job("batch-1")], [], _no_log, "mine"))


def _binding(*conditions: Object, observed: int = 1) -> Object:
    status = {"observedGeneration": observed, "conditions": list(conditions)}
    metadata = {"name": "stream-flights", "namespace": "mine", "generation": 1}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding", "metadata": metadata, "status": status}


def test_binding_without_a_sink_gives_the_reason_once() -> None:
    says = {"status": "False", "reason": "NotFound", "message": "services.serving.knative.dev 'router' not found, so no address"}
    (found,) = deployed.judge_condition(_binding({"type": "Ready", **says}, {"type": "SinkProvided", **says}), "mine")
    assert (found.level, found.subject) == (Level.ERROR, "SinkBinding stream-flights")
    assert found.message.count("not found") == 1
    assert found.remedy.endswith("kubectl -n mine get ksvc,jobsinks,brokers")


@pytest.mark.parametrize(
    ("binding", "level"),
    [
        (_binding({"type": "Ready", "status": "True"}), Level.OK),
        (_binding({"type": "Ready", "status": "Unknown"}), Level.WARNING),
        (_binding({"type": "Ready", "status": "True"}, observed=0), Level.WARNING),
    ],
    ids=["ready", "unknown", "not yet observed"],
)
def test_binding_level_follows_its_condition(binding: Object, level: Level) -> None:
    (found,) = deployed.judge_condition(binding, "mine")
    assert found.level is level


def test_kind_without_conditions_has_no_finding() -> None:
    assert not list(deployed.judge_condition(_binding(), "mine"))
