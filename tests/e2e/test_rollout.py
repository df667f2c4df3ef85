"""Rollouts that the rollout function decides in its pod, by what the router reports through the Broker."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import pytest

from eventing.codecs.kafka import decode
from tests.e2e.calls import REVISION, Answer, Site, eventually
from tests.e2e.departures import departure
from tests.e2e.test_canary import weights

if TYPE_CHECKING:
    from eventing.event import Event
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Await
    from tests.e2e.deployment import Deployment, Kafka

pytestmark = pytest.mark.e2e

# Without drift: the versions of the model have different scores.
POLICY = """
steps: [20, 50, 100]
minimumKeys: 30
minimumDuration: 3s
pauseAt: [20]
maximumErrors: 0.2
deadline: 30m
metrics: {drift: false}
"""
CALLERS = 4
ANNOTATIONS = ("rollout-policy", "rollout", "rollout-state", "rollout-announcements")
SENDERS = (
    "trigger/rollout",
    "trigger/rollout-labels",
    "trigger/decisions",
    "pingsource/rollout",
    "sinkbinding/rollout",
    "sinkbinding/router-outcomes",
)
CONTAINER = "/spec/template/spec/containers/0"
# A model function that becomes ready, and fails each prediction.
BROKEN = """
import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200 if self.command == "GET" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_GET

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
DECISIONS: Object = {
    "apiVersion": "eventing.knative.dev/v1",
    "kind": "Trigger",
    "metadata": {"name": "decisions"},
    "spec": {
        "broker": "tidegate",
        "filters": [{"prefix": {"type": "dev.tidegate.rollout."}}],
        "subscriber": {"ref": {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "name": "flights-scored"}},
    },
}


@pytest.fixture(scope="module")
def rollouts(cluster: Cluster, deployment: Deployment, streams: Kafka | None) -> Iterator[Kafka]:
    """The components of a rollout, and traffic that is pinned to the present revision.

    The topic `output` gets the decisions too.
    """
    if streams is None or not cluster.has("kafkasinks.eventing.knative.dev"):
        pytest.skip("there is no Broker: set E2E_KAFKA, on a cluster with Knative's Kafka broker and sink.")
    deployment.apply(**{"router-outcomes": {}, "rollout": {}})
    cluster.apply(DECISIONS)
    for what in SENDERS:
        cluster.wait(what, "condition=Ready", 180)
    for name in ("router", "rollout"):  # of which the SinkBindings make new revisions
        cluster.ready(name)
    revision = cluster.get("ksvc/flights")["status"]["latestReadyRevisionName"]
    pinned = {"spec": {"traffic": [{"revisionName": revision, "percent": 100, "tag": "stable"}]}}
    cluster.kubectl("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps(pinned))
    yield streams
    for what in SENDERS:
        cluster.kubectl("delete", what)
    cluster.kubectl("delete", "ksvc", "rollout", "--wait")
    cluster.kubectl("annotate", "ksvc", "flights", *(f"tidegate.dev/{name}-" for name in ANNOTATIONS))
    cluster.patch("ksvc/flights", {"op": "remove", "path": "/spec/traffic"}, {"op": "add", "path": f"{CONTAINER}/command", "value": None})
    deployment.apply()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def push(cluster: Cluster, *operations: Object) -> str:
    """Change the template of the model; returns the new revision when it is ready."""
    annotation = {"op": "add", "path": "/spec/template/metadata/annotations/tests.tidegate.dev~1push", "value": uuid.uuid4().hex}
    cluster.patch("ksvc/flights", annotation, *operations)
    status = cluster.ready("flights")["status"]
    assert status["latestReadyRevisionName"] == status["latestCreatedRevisionName"]
    return str(status["latestReadyRevisionName"])


def version(cluster: Cluster, name: str) -> Object:
    """The change of the template to another version of the model."""
    (container,) = cluster.get("ksvc/flights")["spec"]["template"]["spec"]["containers"]
    index = [variable["name"] for variable in container["env"]].index("TIDEGATE_MODEL")
    return {"op": "replace", "path": f"{CONTAINER}/env/{index}/value", "value": f"functions/flights/models/{name}"}


def traffic_of(cluster: Cluster) -> list[tuple[str, int, str]]:
    """The traffic of the specification: revision, percentage and tag of each target."""
    return [(one["revisionName"], one["percent"], one["tag"]) for one in cluster.get("ksvc/flights")["spec"]["traffic"]]


@contextmanager
def traffic(router: Site) -> Iterator[list[Answer]]:
    """Calls with a new key each, throughout the block; their answers."""
    answers: list[Answer] = []
    stop = Flag()

    def call() -> None:
        while not stop.wait(0.05):
            answers.append(router.predict(departure(len(answers)), key=uuid.uuid4().hex))

    with ThreadPoolExecutor(CALLERS) as callers:
        calls = [callers.submit(call) for _ in range(CALLERS)]
        try:
            yield answers
        finally:
            stop.set()
        for done in calls:
            done.result()


@contextmanager
def command(cluster: Cluster, *arguments: str) -> Iterator[Popen[str]]:
    """`tidegate rollout` on the cluster."""
    program = [sys.executable, "-m", "tidegate", "rollout", *arguments, "--namespace", cluster.namespace]
    with Popen(program, stdout=PIPE, stderr=PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: Popen[str], seconds: float = 300) -> tuple[int, str]:
    """The exit status and the output."""
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output + errors


def kubernetes_events(cluster: Cluster, canary: str) -> dict[str, Object]:
    """The Events of Kubernetes about a rollout, by reason."""
    about = "involvedObject.kind=Service,involvedObject.name=flights,reportingComponent=tidegate-rollout"
    items = json.loads(cluster.kubectl("get", "events", "--field-selector", about, "-o", "json"))["items"]
    return {item["reason"]: item for item in items if canary in item["message"]}


def decision(await_records: Await, topics: Kafka, canary: str, name: str) -> Event:
    """The CloudEvent about a rollout that has passed the Broker."""

    def wanted(record: Any) -> bool:
        event = decode(record)
        return event.type == f"dev.tidegate.rollout.{name}" and event.value()["canary"] == canary

    event: Event = decode(await_records(topics.output, wanted)[0])
    return event


def test_canary_is_promoted_by_a_function_that_started_from_zero(
    cluster: Cluster, deployment: Deployment, rollouts: Kafka, policy: Path, await_records: Await
) -> None:
    """A canary gets more traffic by steps, waits for a person, and is promoted; a template that is pushed meanwhile gets none."""
    router = deployment.router
    ((stable, _, _),) = traffic_of(cluster)
    canary = push(cluster, version(cluster, "v2"))
    assert traffic_of(cluster) == [(stable, 100, "stable")]
    cluster.at_zero("rollout")
    with command(cluster, "start", "flights", "--policy", str(policy), "--wait", "--json") as following:
        with traffic(router) as answers:
            eventually(lambda: kubernetes_events(cluster, canary), lambda found: "RolloutHeld" in found, 180)
            assert traffic_of(cluster) == [(stable, 80, "stable"), (canary, 20, "canary")]
            pushed = push(cluster)
            assert weights(router) == {stable: 80, canary: 20}
            with command(cluster, "resume", "flights") as resuming:
                assert finish(resuming)[0] == 0
            status, text = finish(following)
        assert status == 0, text
    assert traffic_of(cluster) == [(canary, 100, "stable")]
    assert [pod["status"]["phase"] for pod in cluster.pods("rollout")] == ["Running"]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers[REVISION] for answer in answers} == {stable, canary}
    percentages = [json.loads(line)["percent"] for line in text.splitlines()]
    assert list(dict.fromkeys(percentages)) == [20, 50, 100]
    assert cluster.get("ksvc/flights")["status"]["latestReadyRevisionName"] == pushed
    eventually(
        lambda: set(kubernetes_events(cluster, canary)),
        lambda found: {"RolloutStarted", "RolloutHeld", "RolloutAdvanced", "RolloutPromoted"} <= found,
    )
    for name in ("started", "held", "advanced", "promoted"):
        assert decision(await_records, rollouts, canary, name).value()["stable"] == stable


def test_canary_that_fails_is_rolled_back_and_no_caller_sees_it(
    cluster: Cluster, deployment: Deployment, rollouts: Kafka, policy: Path, await_records: Await
) -> None:
    """A canary that answers 500 is rolled back by its errors; the stable revision has answered each call."""
    router = deployment.router
    ((stable, _, _),) = traffic_of(cluster)
    canary = push(cluster, {"op": "add", "path": f"{CONTAINER}/command", "value": ["python", "-c", BROKEN]})
    with command(cluster, "start", "flights", "--policy", str(policy), "--wait") as following:
        with traffic(router) as answers:
            eventually(lambda: weights(router), lambda found: found == {stable: 80, canary: 20})
            eventually(lambda: weights(router), lambda found: found == {stable: 100}, 180)
            in_force = time.time()
            status, text = finish(following)
        assert (status, f"{canary} is rolled back" in text) == (3, True), text
    assert traffic_of(cluster) == [(stable, 100, "stable")]
    assert {(answer.status, answer.headers[REVISION]) for answer in answers} == {(200, stable)}
    event = eventually(lambda: kubernetes_events(cluster, canary), lambda found: "RolloutRolledBack" in found)["RolloutRolledBack"]
    assert event["type"] == "Warning"
    decided = decision(await_records, rollouts, canary, "rolledback")
    assert (decided.value()["metric"], decided.value()["sentence"]) == ("errors", event["message"])
    assert decided.value()["eValue"] >= decided.value()["threshold"]
    print(f"from the decision to the router: {in_force - datetime.fromisoformat(str(decided.get('time'))).timestamp():.2f} s")
