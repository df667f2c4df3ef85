"""JobSinks, Jobs and PingSources of a whole `tidegate up`: by events, by the Kubernetes client, and across its death."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
import pytest
import yaml
from kubernetes import client as kubernetes
from kubernetes import config, watch

from tests.e2e import batch_data
from tests.tidegate.local.calls import call, is_gone
from tests.tidegate.local.eventing.jobs.job_cluster import job, outcome
from tidegate.local import state
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Until = Callable[[Callable[[], Any]], Awaitable[None]]

ROOT = Path(__file__).parents[5]
PROGRAM = """
import asyncio, json
from pathlib import Path
from tidegate.local.up import UpSettings, run
objects = json.loads(Path("objects.json").read_text())
asyncio.run(run(UpSettings(manifests=objects, port=0, state_dir=Path("state"), project_root=Path.cwd())))
"""
# Waits for the file `go`, then appends the event to a file.
WAIT_AND_COPY = """
import os, pathlib, time
pathlib.Path(f"pid-{os.getpid()}").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
with open("events", "a") as file:
    file.write(pathlib.Path(os.environ["K_EVENT_PATH"], "event").read_text() + "\\n")
"""


def job_sink(program: str, name: str = "work", **spec: Any) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "command": ["python", "-c", program]}]}
    job = {"spec": {**spec, "template": {"spec": pod}}}
    return {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "metadata": {"name": name}, "spec": {"job": job}}


def kind(version: str, name: str, item: str) -> Object:
    return {"apiVersion": version, "kind": name, "metadata": {"name": item}}


def is_ready(item: Object) -> bool:
    return any(found["type"] == "Ready" and found["status"] == "True" for found in item.get("status", {}).get("conditions", []))


def event(number: int = 1, type_: str = "t", data: object = None) -> Object:
    return {"specversion": "1.0", "id": str(number), "source": "/demo", "type": type_, "data": data or {"n": number}}


def settings(root: Path, *objects: Object, **others: Any) -> UpSettings:
    return UpSettings(**{"manifests": objects, "port": 0, "state_dir": root / "state", "project_root": root, **others})


async def post(client: aiohttp.ClientSession, gateway: str, sent: Object, sink: str = "work", host: str = "job-sink") -> int:
    url = f"http://{host}.localhost:{gateway.rpartition(':')[2]}/default/{sink}"
    headers = {"Content-Type": "application/cloudevents+json"}
    async with client.post(url, data=json.dumps(sent), headers=headers) as answer:
        return answer.status


@contextmanager
def program(root: Path, *objects: Object) -> Iterator[subprocess.Popen[bytes]]:
    """A `tidegate up` in a process of its own, to be killed."""
    (root / "objects.json").write_text(json.dumps(objects))
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=root)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def pids(root: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in root.glob("pid-*")]


def watch_until_complete(api: kubernetes.BatchV1Api, name: str) -> None:
    for change in watch.Watch().stream(api.list_namespaced_job, "default", timeout_seconds=20):  # type: ignore[no-untyped-call]
        if change["object"].metadata.name == name and change["object"].status.completion_time:
            return
    raise AssertionError(f"the Job {name} is not complete")


def ended(here: Up, job: str) -> str | None:
    return outcome(here.controller.store.get("jobs", job).get("status", {}))


async def gateway_of(root: Path, until: Until) -> str:
    await until(lambda: state.read(root / "state"))
    found = state.read(root / "state")
    assert found
    return found.gateway


async def test_a_job_whose_tidegate_up_is_killed_runs_again_at_the_next_start(
    root: Path, client: aiohttp.ClientSession, until: Until
) -> None:
    sink = job_sink(WAIT_AND_COPY, backoffLimit=0)
    with program(root, sink) as first:
        assert await post(client, await gateway_of(root, until), event()) == 202
        await until(lambda: pids(root))
        first.kill()
        await until(lambda: is_gone(pids(root)[0]))
    async with up(settings(root, sink)) as here:
        await until(lambda: len(pids(root)) == 2)
        # The event is known: it is not run beside its own run.
        assert await post(client, here.running.gateway, event()) == 202
        (root / "go").touch()
        await until((root / "events").exists)
        assert len(pids(root)) == 2
    assert [json.loads(line)["id"] for line in (root / "events").read_text().splitlines()] == ["1"]


async def test_no_accepted_event_is_lost_by_a_kill(root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    (root / "go").touch()
    sink = job_sink(WAIT_AND_COPY)
    with program(root, sink) as first:
        gateway = await gateway_of(root, until)
        answers = [await post(client, gateway, event(number)) for number in range(20)]
        first.kill()
    assert answers == [202] * 20

    def done() -> set[str]:
        return {json.loads(line)["id"] for line in (root / "events").read_text().splitlines()} if (root / "events").exists() else set()

    async with up(settings(root, sink)):
        await until(lambda: done() == {str(number) for number in range(20)})


@pytest.mark.parametrize(("changed", "runs"), [("", "a"), ("b", "ab")], ids=["unchanged", "changed"])
async def test_a_job_of_the_manifests_runs_again_only_if_its_template_has_changed(
    root: Path, until: Until, changed: str, runs: str
) -> None:
    for text in ("a", changed or "a"):
        item = job("once", f"open('runs', 'a').write({text!r})")
        async with up(settings(root, item)) as here:
            await until(partial(ended, here, "once"))
    assert (root / "runs").read_text() == runs


async def test_jobs_are_listed_created_watched_and_deleted_by_the_kubernetes_client(
    root: Path, client: aiohttp.ClientSession, until: Until
) -> None:
    async with up(settings(root, job_sink(WAIT_AND_COPY))) as here:
        assert await post(client, here.running.gateway, event()) == 202
        with await asyncio.to_thread(config.new_client_from_config, here.running.kubeconfig) as connection:
            api = kubernetes.BatchV1Api(connection)
            selector = "sinks.knative.dev/job-sink-name=work"
            (item,) = (await call(api.list_namespaced_job, "default", label_selector=selector)).items
            assert item.spec.backoff_limit == 6
            (root / "go").touch()
            await call(watch_until_complete, api, item.metadata.name)
            indexed = yaml.safe_load((ROOT / "tests/tidegate/local/eventing/jobs/indexed-job.yaml").read_text())
            await call(api.create_namespaced_job, "default", indexed)
            await call(watch_until_complete, api, "shards")
            found = await call(api.read_namespaced_job, "shards", "default")
            assert (found.status.succeeded, found.status.completed_indexes) == (3, "0-2")
            await call(api.delete_namespaced_job, "shards", "default", propagation_policy="Background")
            assert [item.metadata.name for item in (await call(api.list_namespaced_job, "default")).items] == [item.metadata.name]
    assert sorted((root / "shards").read_text()) == ["0", "1", "2"]


async def test_a_ping_source_starts_jobs_by_its_schedule(root: Path, until: Until) -> None:
    (root / "go").touch()
    sink = {"ref": {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "work"}}
    spec = {"schedule": "* * * * * *", "contentType": "application/json", "data": '{"n": 1}', "sink": sink}
    source = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "tick"}, "spec": spec}
    async with up(settings(root, source, job_sink(WAIT_AND_COPY))):
        await until((root / "events").exists)
    first = json.loads((root / "events").read_text().splitlines()[0])
    assert (first["type"], first["data"]) == ("dev.knative.sources.ping", {"n": 1})
    assert first["source"] == "/apis/v1/namespaces/default/pingsources/tick"


async def test_events_of_a_kafka_sink_reach_a_job_by_a_kafka_source(root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    (root / "go").touch()
    kafka = {"bootstrapServers": ["kafka.kafka.svc:9092"]}
    sink = {**kind("eventing.knative.dev/v1alpha1", "KafkaSink", "out"), "spec": {**kafka, "topic": "orders"}}
    receiver = {"ref": {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "work"}}
    reading = {**kafka, "topics": ["orders"], "initialOffset": "earliest", "sink": receiver}
    source = {**kind("sources.knative.dev/v1", "KafkaSource", "in"), "spec": reading}
    async with up(settings(root, source, sink, job_sink(WAIT_AND_COPY))) as here:
        store = here.controller.store
        await until(
            lambda: all(is_ready(store.get(*name)) for name in (("kafkasinks", "out"), ("kafkasources", "in"), ("jobsinks", "work")))
        )
        assert await post(client, here.running.gateway, event(), "out", host="kafka-sink-ingress") == 202
        await until((root / "events").exists)
    received = json.loads((root / "events").read_text())
    assert {**event(), "knativekafkaoffset": received["knativekafkaoffset"]}.items() <= received.items()


async def test_the_batch_of_the_manifests_is_started_by_an_event(
    flights_models: Path, tmp_path: Path, client: aiohttp.ClientSession, until: Until
) -> None:
    folders = [ROOT / "manifests/base" / name for name in ("flights", "router", "batch")]
    paths = [path for folder in folders for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    objects = [item for path in paths for item in yaml.safe_load_all(path.read_text()) if item]
    (sink,) = (item for item in objects if item["kind"] == "JobSink")
    env = sink["spec"]["job"]["spec"]["template"]["spec"]["containers"][0]["env"]
    # The folders that a batch may use; pytest's folder is below another one on some systems.
    next(variable for variable in env if variable["name"] == "TIDEGATE_BATCH_PATHS")["value"] = str(tmp_path)
    (tmp_path / "in.parquet").write_bytes(batch_data.parquet())
    data = {"model": "flights", "input": str(tmp_path / "in.parquet"), "output": str(tmp_path / "out.parquet"), "key": "tailnum"}
    async with up(settings(tmp_path, *objects, project_root=ROOT)) as here:
        requested = event(type_="dev.tidegate.batch.requested", data=data)
        assert await post(client, here.running.gateway, requested, "batch") == 202
        await until(lambda: any(outcome(item.get("status", {})) for item in here.controller.store.list("jobs")))
        (made,) = here.controller.store.list("jobs")
        log = "".join(path.read_text() for path in (tmp_path / "state/log").glob("batch-*.log"))
    assert outcome(made["status"]) == "CompletionsReached", log
    assert pq.read_table(tmp_path / "out.parquet").num_rows == batch_data.ROWS


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"podFailurePolicy": {"rules": []}}, "spec.job.spec.podFailurePolicy is not supported by tidegate up"),
        ({"completionMode": "Indexed"}, "spec.job.spec.completions is missing"),
    ],
    ids=["policy", "indexed"],
)
async def test_a_job_that_cannot_be_run_as_on_a_cluster_is_refused(root: Path, change: Object, problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        async with up(settings(root, job_sink("", **change))):
            raise AssertionError
