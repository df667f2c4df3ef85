"""JobSinks over HTTP: one Job for each event, whose process reads it."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer
from yarl import URL

from tests.tidegate.local.eventing.jobs.job_cluster import JobCluster, job_cluster, outcome
from tidegate.local.eventing.jobs import sinks
from tidegate.local.eventing.jobs.jobs import JOBS
from tidegate.local.eventing.jobs.sinks import MAX_EVENT_BYTES, JobSinks
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.eventing import JobSink
from tidegate.local.objects.validation import parse

# Appends the event to a file, one a line.
COPY = "import os; open('events', 'a').write(open(os.environ['K_EVENT_PATH'] + '/event').read() + '\\n')"
EVENT = {"specversion": "1.0", "id": "1", "source": "/demo", "type": "t", "datacontenttype": "application/json", "data": {"n": 1}}
JOB = "score-7a1c7d88ddf1bdd3ff122512e0fa3ade"
LOCATION = "/namespaces/default/name/score/sources/%2Fdemo/ids/1"


@dataclass
class Ingress:
    """A JobSink `score`, and calls of it."""

    cluster: JobCluster
    sinks: JobSinks
    client: aiohttp.ClientSession
    url: str

    def make(self, program: str, name: str = "score", **spec: Any) -> None:
        container = {"name": "score", "command": ["python", "-c", program]}
        job = {"spec": {**spec, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
        item = {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "metadata": {"name": name}, "spec": {"job": job}}
        self.sinks.apply(parse(JobSink, item), Resolved())

    async def post(self, event: dict[str, Any], path: str = "/default/score") -> tuple[int, str | None]:
        headers = {"Content-Type": "application/cloudevents+json"}
        async with self.client.post(self.url + path, data=json.dumps(event), headers=headers) as answer:
            return answer.status, answer.headers.get("Location")

    async def get(self, path: str = LOCATION) -> tuple[int, str | None]:
        async with self.client.get(URL(self.url + path, encoded=True)) as answer:
            return answer.status, answer.headers.get("Reason")


@pytest.fixture
async def ingress(stack: AsyncExitStack, client: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Ingress]:
    cluster = await stack.enter_async_context(job_cluster(tmp_path))
    sinks = JobSinks(cluster.store, cluster.jobs)
    server = RawTestServer(sinks.handle)
    await server.start_server()
    found = Ingress(cluster, sinks, client, str(server.make_url("")).rstrip("/"))
    found.make(COPY)
    yield found
    await server.close()


async def test_an_event_starts_a_job_that_reads_it(ingress: Ingress) -> None:
    assert await ingress.post(EVENT) == (202, LOCATION)
    assert outcome(await ingress.cluster.end_of(JOB)) == "CompletionsReached"
    assert json.loads((ingress.cluster.root / "events").read_text()) == EVENT
    labels = ingress.cluster.store.get(JOBS, JOB)["metadata"]["labels"]
    assert labels["sinks.knative.dev/job-sink-name"] == "score"


async def test_an_event_in_binary_mode_is_mounted_in_json(ingress: Ingress) -> None:
    headers = {f"ce-{name}": str(EVENT[name]) for name in ("specversion", "id", "source", "type")} | {"Content-Type": "application/json"}
    async with ingress.client.post(f"{ingress.url}/default/score/", data=b'{"n": 1}', headers=headers) as answer:
        assert answer.status == 202
    await ingress.cluster.end_of(JOB)
    assert json.loads((ingress.cluster.root / "events").read_text()) == EVENT


async def test_the_same_event_is_run_once_however_often_and_at_once_it_is_sent(ingress: Ingress) -> None:
    answers = await asyncio.gather(*(ingress.post(EVENT) for _ in range(20)))
    assert answers == [(202, LOCATION)] * 20
    await ingress.cluster.end_of(JOB)
    assert await ingress.post(EVENT) == (202, LOCATION)
    assert len(ingress.cluster.store.list(JOBS)) == 1
    assert len((ingress.cluster.root / "events").read_text().splitlines()) == 1


async def test_other_sources_and_ids_are_other_jobs(ingress: Ingress) -> None:
    for change in ({}, {"id": "2"}, {"source": "/other"}):
        assert (await ingress.post({**EVENT, **change}))[0] == 202
    for item in ingress.cluster.store.list(JOBS):
        await ingress.cluster.end_of(item["metadata"]["name"])
    assert len((ingress.cluster.root / "events").read_text().splitlines()) == 3


async def test_the_location_answers_what_became_of_the_job(ingress: Ingress) -> None:
    ingress.make("import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)")
    await ingress.post(EVENT)
    assert await ingress.get() == (202, None)
    (ingress.cluster.root / "go").touch()
    await ingress.cluster.end_of(JOB)
    assert await ingress.get() == (200, "Complete")
    ingress.make("import sys; sys.exit(1)", backoffLimit=0)
    await ingress.post({**EVENT, "id": "2"})
    failed = LOCATION.removesuffix("1") + "2"
    await ingress.cluster.until(lambda: all(outcome(item.get("status", {})) for item in ingress.cluster.store.list(JOBS)))
    assert await ingress.get(failed) == (400, "Failed")
    assert (await ingress.get(LOCATION + "0"))[0] == 500
    assert (await ingress.get("/namespaces/default/name/nowhere/sources/s/ids/1"))[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status"),
    [
        ("/default/nowhere", json.dumps(EVENT), "application/cloudevents+json", 400),
        ("/default", json.dumps(EVENT), "application/cloudevents+json", 400),
        ("/default/score/more", json.dumps(EVENT), "application/cloudevents+json", 400),
        ("/..%2fetc/score", json.dumps(EVENT), "application/cloudevents+json", 400),
        ("/default/score", "{}", "application/json", 400),
        ("/default/score", '{"specversion": "1.0"}', "application/cloudevents+json", 400),
        ("/default/score", json.dumps([EVENT, EVENT]), "application/cloudevents-batch+json", 400),
        ("/default/score", "[]", "application/cloudevents-batch+json", 400),
        ("/default/score", json.dumps({**EVENT, "data": "x" * MAX_EVENT_BYTES}), "application/cloudevents+json", 413),
    ],
    ids=["no-sink", "no-name", "longer", "traversal", "no-event", "no-attributes", "two", "none", "large"],
)
async def test_what_is_no_single_event_for_a_sink_starts_nothing(
    ingress: Ingress, path: str, body: str, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}
    async with ingress.client.post(URL(ingress.url + path, encoded=True), data=io.BytesIO(body.encode()), headers=headers) as answer:
        assert (answer.status, "error" in await answer.json()) == (status, True)
    assert ingress.cluster.store.list(JOBS) == []
    assert not list((ingress.cluster.root / "jobs").glob("*/*"))


async def test_data_that_is_not_the_json_it_claims_to_be_starts_nothing(ingress: Ingress) -> None:
    headers = {f"ce-{name}": str(EVENT[name]) for name in ("specversion", "id", "source", "type")} | {"Content-Type": "application/json"}
    async with ingress.client.post(f"{ingress.url}/default/score", data=b'{"n": ', headers=headers) as answer:
        assert (answer.status, await answer.json()) == (400, {"error": ANY})
    assert ingress.cluster.store.list(JOBS) == []


async def test_another_method_is_a_bad_request(ingress: Ingress) -> None:
    async with ingress.client.put(f"{ingress.url}/default/score") as answer:
        assert answer.status == 400


async def test_a_deleted_sink_accepts_nothing_and_keeps_its_jobs(ingress: Ingress) -> None:
    await ingress.post(EVENT)
    ingress.sinks.delete("default", "score")
    assert (await ingress.post({**EVENT, "id": "2"}))[0] == 400
    assert outcome(await ingress.cluster.end_of(JOB)) == "CompletionsReached"


async def test_too_many_unfinished_jobs_hold_the_sender_back(ingress: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "MAX_UNFINISHED", 1)
    ingress.make("import time; time.sleep(60)")
    assert (await ingress.post(EVENT))[0] == 202
    assert (await ingress.post({**EVENT, "id": "2"}))[0] == 429
    assert (await ingress.post(EVENT))[0] == 202
    assert len(ingress.cluster.store.list(JOBS)) == 1


async def test_a_job_that_cannot_be_saved_is_not_accepted(ingress: Ingress) -> None:
    (ingress.cluster.root / "jobs").touch()
    assert (await ingress.post(EVENT))[0] == 500
    assert ingress.cluster.store.list(JOBS) == []


async def test_the_event_is_readable_by_its_owner_only(ingress: Ingress) -> None:
    await ingress.post(EVENT)
    folder = ingress.cluster.root / "jobs/default" / JOB / "event"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "event").stat().st_mode) == 0o600


async def test_a_job_of_an_event_that_was_interrupted_runs_again_with_its_event(ingress: Ingress) -> None:
    wait = "import os, pathlib, time; pathlib.Path('started').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    ingress.make(wait + COPY)
    await ingress.post(EVENT)
    await ingress.cluster.until((ingress.cluster.root / "started").exists)
    await ingress.cluster.jobs.close()
    (ingress.cluster.root / "go").touch()
    async with job_cluster(ingress.cluster.root) as again:
        assert outcome(await again.end_of(JOB)) == "CompletionsReached"
    assert json.loads((ingress.cluster.root / "events").read_text()) == EVENT
