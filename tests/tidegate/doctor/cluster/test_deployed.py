"""Workers, Jobs, sources and bindings that a cluster has: why they do not work, and what to do."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tidegate.doctor.accessors import workloads
from tidegate.doctor.cluster import deployed, features, references
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.references import Reference
from tidegate.doctor.finding import LONGEST, Level, error
from tidegate.doctor.report import lines
from tidegate.objects import Document

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


def test_a_worker_without_kafka_says_so_with_its_last_words_and_a_remedy() -> None:
    """What a newcomer meets first: the Deployment is made, and its container ends again and again."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container=stream pod=x_mine(0f3)"}}
    pod = _pod({"restartCount": 4, "state": waiting, "lastState": _ended(1)})
    found = deployed.judge_running(_worker(), [pod], lambda _pod, _container: f"INFO starting\n{NO_KAFKA}", "mine")
    assert (found.level, found.subject) == (Level.ERROR, "Deployment stream-flights")
    assert "0 of 1 pods are ready. stream ends with exit code 1, started again 4 times: no Kafka broker answers at" in found.message
    assert found.message.endswith("(Temporary failure in name resolution).")
    assert len(found.message) <= LONGEST
    assert all(component in found.remedy for component in ("kafka-single-node", "kafka-address", "without-stream"))


@pytest.mark.parametrize(
    ("container", "message", "remedy"),
    [
        ({"lastState": _ended(137, "OOMKilled")}, "exit code 137 (OOMKilled)", "raise limits.memory"),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "waits (ErrImagePull): not found", "push the image"),
        (
            {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "kafka" not found'}}},
            'waits (CreateContainerConfigError): secret "kafka" not found',
            "make what it names: kubectl -n mine get secrets",
        ),
        (
            {"state": _ended(3, message="INFO: begins\nValueError: a bug\n")},
            "exit code 3: ValueError: a bug",
            "kubectl logs -n mine deployment.apps/stream-flights -c stream --previous --tail=20",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_container_that_does_not_run_tells_why(container: Object, message: str, remedy: str) -> None:
    found = deployed.judge_running(_worker(), [_pod(container)], _no_log, "mine")
    assert found.level is Level.ERROR
    assert message in found.message
    assert found.remedy.startswith(remedy)


class _Api:
    """Logs by whether those of the run before are asked for."""

    def __init__(self, previous: str, latest: str) -> None:
        self._logs = {"true": previous, "false": latest}

    def read(self, path: str, **query: str) -> str:
        assert path == "/api/v1/namespaces/mine/pods/stream-flights-1/log"
        return self._logs[query["previous"]]


@pytest.mark.parametrize(
    ("previous", "latest", "expected"),
    [
        ("before", "now", "before"),
        ("", "now", "now"),
        ("unable to retrieve container logs for containerd://59ee", "now", "now"),
        ("", "", ""),
    ],
    ids=["the run that ended", "the first run", "removed already", "no right"],
)
def test_a_log_is_that_of_the_last_run_that_there_is(previous: str, latest: str, expected: str) -> None:
    pod = {"metadata": {"name": "stream-flights-1", "namespace": "mine"}}
    assert Cluster(cast("Any", _Api(previous, latest)), "mine", []).log(pod, "stream") == expected


def test_what_a_worker_advises_itself_is_its_remedy() -> None:
    log = "tidegate: TIDEGATE_STREAM_MODEL is not set; name the model that scores the events.\n"
    found = deployed.judge_running(_worker(), [_pod({"lastState": _ended(2)})], lambda _pod, _container: log, "mine")
    assert found.message.endswith("stream ends with exit code 2: tidegate: TIDEGATE_STREAM_MODEL is not set.")
    assert found.remedy == "name the model that scores the events"


def test_a_pod_that_fits_on_no_node_is_told() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = {"metadata": {"name": "stream-1"}, "status": {"conditions": [condition]}}
    found = deployed.judge_running(_worker(), [pod], _no_log, "mine")
    assert "pod stream-1 waits (Unschedulable): 0/1 nodes are available: 1 Insufficient cpu." in found.message
    assert found.remedy.startswith("lower the requests")


def test_the_newest_pod_is_looked_at_first() -> None:
    old = _pod({"lastState": _ended(2)}, made="2026-11-26T00:00:00Z")
    new = _pod({"lastState": _ended(1)}, made="2026-11-27T00:00:00Z")
    assert "exit code 1" in deployed.judge_running(_worker(), [old, new], _no_log, "mine").message


@pytest.mark.parametrize(
    ("ready", "replicas", "level"), [(1, 1, Level.OK), (0, 0, Level.OK), (0, 1, Level.WARNING)], ids=["ready", "scaled to zero", "starting"]
)
def test_a_worker_that_runs_or_starts_is_no_error(ready: int, replicas: int, level: Level) -> None:
    assert deployed.judge_running(_worker(ready, replicas), [_pod({"state": {}})], _no_log, "mine").level is level


def test_pods_that_are_refused_are_told_by_the_deployment() -> None:
    worker = _worker()
    message = 'pods "x" is forbidden: exceeded quota: small'
    worker["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": message}]
    found = deployed.judge_running(worker, [], _no_log, "mine")
    assert (found.level, "exceeded quota: small" in found.message) == (Level.ERROR, True)


def _job(name: str, reason: str = "", made: str = "2026-11-27T01:00:00Z") -> Object:
    conditions = [{"type": "Failed", "status": "True", "reason": reason, "message": "Job has reached it"}] if reason else []
    return {"metadata": {"name": name, "creationTimestamp": made}, "status": {"conditions": conditions}}


def test_the_last_job_that_failed_is_told_with_the_words_of_its_pod() -> None:
    jobs = [_job("batch-1"), _job("batch-2", "BackoffLimitExceeded"), _job("batch-3", "BackoffLimitExceeded", "2026-11-27T02:00:00Z")]
    pod = _pod({"state": _ended(1, message="tidegate: file /data/x.parquet not found")}, **{"job-name": "batch-3"})
    (found,) = deployed.judge_jobs("JobSink batch", jobs, [pod], _no_log, "mine")
    assert (found.level, found.remedy) == (Level.WARNING, "kubectl -n mine logs job/batch-3 --tail=20")
    assert "2 of 3 Jobs have failed; batch-3 has failed. BackoffLimitExceeded: stream ends with exit code 1" in found.message
    assert "file /data/x.parquet not found" in found.message


def test_a_job_that_took_too_long_is_told_its_deadline() -> None:
    (found,) = deployed.judge_jobs("JobSink batch", [_job("batch-1", "DeadlineExceeded")], [], _no_log, "mine")
    assert "activeDeadlineSeconds" in found.remedy
    assert not list(deployed.judge_jobs("JobSink batch", [_job("batch-1")], [], _no_log, "mine"))


def _binding(*conditions: Object, observed: int = 1) -> Object:
    status = {"observedGeneration": observed, "conditions": list(conditions)}
    metadata = {"name": "stream-flights", "namespace": "mine", "generation": 1}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding", "metadata": metadata, "status": status}


def test_a_binding_whose_sink_has_no_address_is_told_once() -> None:
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
    ids=["ready", "unknown", "not yet looked at"],
)
def test_a_binding_is_judged_by_its_condition(binding: Object, level: Level) -> None:
    (found,) = deployed.judge_condition(binding, "mine")
    assert found.level is level


def test_a_kind_without_conditions_says_nothing() -> None:
    assert not list(deployed.judge_condition(_binding(), "mine"))


def test_two_ways_to_one_secret_are_one_command() -> None:
    """A variable needs one key, files need two more: made by two commands, the second would fail since the Secret is there."""
    user = {"name": "TIDEGATE_KAFKA_USERNAME", "valueFrom": {"secretKeyRef": {"name": "kafka", "key": "user"}}}
    read = {"CA": "ca.crt", "PASSWORD": "password"}
    files = [{"name": f"TIDEGATE_KAFKA_{name}_FILE", "value": f"/etc/kafka/{key}"} for name, key in read.items()]
    container = {"image": "stream", "env": [user, *files], "volumeMounts": [{"name": "kafka", "mountPath": "/etc/kafka"}]}
    pod = {"containers": [container], "volumes": [{"name": "kafka", "secret": {"secretName": "kafka"}}]}
    item = {"kind": "Deployment", "metadata": {"name": "stream-flights"}, "spec": {"template": {"spec": pod}}}
    (workload,) = workloads([Document("stream.yaml", item)])
    (found,) = references.merged([*references.of_workload(workload, "mine")])
    assert references.remedy(found, None) == (
        "kubectl -n mine create secret generic kafka --from-file=ca.crt=… --from-file=password=… --from-literal=user=…"
    )
    some = {"data": {"user": "bWU=", "ca.crt": ""}}
    assert references.remedy(found, some) == """kubectl -n mine patch secret kafka --type merge -p '{"stringData": {"password": "…"}}'"""


def test_what_two_workloads_need_is_said_once_with_both() -> None:
    one = Reference("Secret", "kafka", "mine", "Deployment a", frozenset(["user"]))
    two = Reference("Secret", "kafka", "mine", "Deployment b", frozenset(["pw"]))
    assert references.merged([one, two]) == [Reference("Secret", "kafka", "mine", "Deployment a, Deployment b", frozenset(["user", "pw"]))]


def _data(**data: str) -> Object:
    return {"data": data}


@pytest.mark.parametrize(
    ("config", "level"),
    [
        (_data(_example="request-metrics-protocol: http/protobuf"), Level.WARNING),
        (_data(**{"request-metrics-protocol": "prometheus"}), Level.OK),
        (_data(**{"request-metrics-protocol": "grpc"}), Level.WARNING),
        (_data(_example="metrics.request-metrics-backend-destination: prometheus"), Level.OK),
        ({"data": {"metrics.request-metrics-backend-destination": "opencensus"}}, Level.WARNING),
    ],
    ids=["1.19 as installed", "1.19 for Prometheus", "1.19 for a collector", "1.18 as installed", "1.18 for a collector"],
)
def test_queue_proxy_s_metrics_are_there_only_if_serving_says_so(config: Object, level: Level) -> None:
    found = features.request_metrics(config)
    assert found.level is level
    assert bool(found.remedy) is (level is Level.WARNING)


def test_an_event_policy_needs_oidc() -> None:
    found = features.event_policies({"data": {}})
    assert (found.level, '"authentication-oidc":"enabled"' in found.remedy) == (Level.ERROR, True)
    assert features.event_policies({"data": {"authentication-oidc": "enabled"}}).level is Level.OK


def test_a_person_is_shown_no_more_than_a_line_of_it() -> None:
    words = "the server says " + "much " * 100
    shown = lines(error("Service x", words, "do this"))[0].plain
    assert shown.endswith("much…")
    assert len(shown) <= LONGEST + len("  FAIL  Service x: ")
