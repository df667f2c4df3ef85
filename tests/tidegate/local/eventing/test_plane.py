"""The project's own manifests with their Broker, Triggers and PingSource, in a whole `tidegate up`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, ConsumedRecord, TopicPartition
from functions.runtime.knative.objects import condition
from tests.conftest import ROOT
from tests.tidegate.local.calls import url
from tidegate import objects
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
BROKER = "components/kafka-broker"
FILES = ("base", f"{BROKER}/broker.yaml", f"{BROKER}/sinks.yaml", f"{BROKER}/triggers.yaml", "components/nightly-batch/source.yaml")
FLIGHT = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "scheduled_departure": "2013-11-01T05:15",
    "scheduled_arrival": "2013-11-01T08:19",
}
# Appends the type and the body of each event to a file.
RECORDER = """
import json, os, pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with pathlib.Path(os.environ["RECORDS"]).open("a") as file:
            file.write(json.dumps({"type": self.headers["ce-type"], "headers": dict(self.headers), "body": body}) + "\\n")
        self.send_response(202)
        self.end_headers()
    def log_message(self, *args): pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
async def here(tmp_path: Path, flights_models: Path) -> AsyncIterator[Up]:
    items = [document.object for name in FILES for document in objects.read(str(ROOT / "manifests" / name))]
    # Without the stream worker, which would have the Broker's job.
    items = [item for item in items if item["kind"] not in ("Deployment", "SinkBinding")]
    async with up(UpSettings(manifests=items, port=0, state_dir=tmp_path / "state", project_root=ROOT)) as running:
        yield running


def recorder(records: Path) -> Object:
    env = [{"name": "RECORDS", "value": str(records)}]
    container = {"image": "recorder", "command": ["python", "-c", RECORDER], "env": env}
    spec = {"template": {"spec": {"containers": [container]}}}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "recorder"}, "spec": spec}


def trigger(name: str, type_: str) -> Object:
    subscriber = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "recorder"}}
    spec = {"broker": "tidegate", "filters": [{"prefix": {"type": type_}}], "subscriber": subscriber}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": spec}


def is_ready(here: Up, resource: str, name: str) -> bool:
    found = condition(here.controller.store.get(resource, name), "Ready")
    return found is not None and found["status"] == "True"


def recorded(records: Path) -> list[Object]:
    """The events of the recorder, with lower-case names of headers."""
    lines = records.read_text().splitlines() if records.exists() else []
    events = [json.loads(line) for line in lines]
    return [{**event, "headers": {name.lower(): value for name, value in event["headers"].items()}} for event in events]


async def send(here: Up, client: aiohttp.ClientSession, data: Object) -> int:
    attributes = {"specversion": "1.0", "id": "1", "source": "/test", "type": "com.example.flight.departed"}
    message = http.encode([Event({**attributes, "datacontenttype": "application/json"}, data)], Mode.BINARY)
    address = here.controller.store.get("brokers", "tidegate")["status"]["address"]["url"]
    async with client.post(address, data=message.body, headers=message.headers) as response:
        return response.status


async def test_event_goes_to_the_model_and_its_reply_to_another_trigger(
    here: Up, client: aiohttp.ClientSession, records: Path, until: Until
) -> None:
    here.apply(trigger("replies", "dev.tidegate."))
    assert not is_ready(here, "triggers", "replies")
    here.apply(recorder(records))
    await until(lambda: is_ready(here, "triggers", "flights-departed") and is_ready(here, "triggers", "replies"))
    assert await send(here, client, FLIGHT) == 202
    await until(lambda: recorded(records))
    (found,) = recorded(records)
    assert found["type"] == "dev.tidegate.inference.completed"
    assert 0 < json.loads(found["body"])["late"] < 1
    # Both were at zero: the events have started them.
    assert all(revision.pool.counts.starts == 1 for revision in here.controller.revisions.values())


async def first_of(here: Up, topic: str) -> ConsumedRecord:
    """The first record of a topic, as soon as there is one."""
    running = here.running
    version = tuple(running.kafka_api_version) if running.kafka_api_version else None

    def read() -> ConsumedRecord:
        consumer = KafkaCluster(Broker(running.bootstrap_servers, version)).consumer()
        try:
            consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for(topic)])
            for _ in range(300):
                for found in consumer.poll(0.1).values():
                    return found[0]
            raise TimeoutError(f"the topic {topic} has no record")
        finally:
            consumer.close()

    return await asyncio.to_thread(read)


async def test_manifests_are_ready_unchanged(here: Up, until: Until) -> None:
    store = here.controller.store
    resources = ("brokers", "triggers", "kafkasinks", "jobsinks", "pingsources", "services")
    found = [(resource, item["metadata"]["name"]) for resource in resources for item in store.list(resource)]
    assert {resource for resource, _ in found} == set(resources)
    await until(lambda: all(is_ready(here, resource, name) for resource, name in found))


async def test_scores_and_dead_letters_reach_their_topics(here: Up, client: aiohttp.ClientSession, until: Until) -> None:
    await until(lambda: is_ready(here, "triggers", "flights-departed") and is_ready(here, "triggers", "flights-scored"))
    assert await send(here, client, FLIGHT) == 202
    scored = await first_of(here, "flights.scored")
    assert dict(scored.headers)["ce_type"] == b"dev.tidegate.inference.completed"
    assert await send(here, client, {**FLIGHT, "carrier": 7}) == 202
    dead = dict((await first_of(here, "flights.deadletter")).headers)
    assert dead["ce_type"] == b"com.example.flight.departed"
    assert (dead["ce_knativeerrordest"] or b"").endswith(b"/models/flights")


async def test_event_that_cannot_be_scored_goes_to_the_dead_letter_sink_of_its_trigger(
    here: Up, client: aiohttp.ClientSession, records: Path, until: Until
) -> None:
    here.apply(recorder(records))
    departed = here.controller.store.get("triggers", "flights-departed")
    sink = {"uri": url(here, "/dead", "recorder.localhost")}
    here.apply({**departed, "spec": {**departed["spec"], "delivery": {"deadLetterSink": sink}}})
    await until(lambda: is_ready(here, "triggers", "flights-departed"))
    assert here.controller.store.get("triggers", "flights-departed")["status"]["deadLetterSinkUri"] == sink["uri"]
    assert await send(here, client, {**FLIGHT, "carrier": 7}) == 202
    await until(lambda: recorded(records))
    (found,) = recorded(records)
    headers = found["headers"]
    assert headers["ce-type"] == "com.example.flight.departed"
    assert headers["ce-knativeerrordest"].endswith("/models/flights")
    assert headers["ce-knativeerrorcode"] in ("400", "422")


async def test_host_of_an_ingress_has_the_clusters_name_too(here: Up, client: aiohttp.ClientSession, until: Until) -> None:
    await until(lambda: is_ready(here, "brokers", "tidegate"))
    headers = {"Host": "kafka-broker-ingress.knative-eventing.svc.cluster.local", "ce-id": "1"}
    async with client.post(url(here, "/default/tidegate", "127.0.0.1"), data=b"{}", headers=headers) as response:
        assert response.status == 400
    async with client.post(url(here, "/default/unknown", "127.0.0.1"), data=b"{}", headers=headers) as response:
        assert response.status == 404


async def test_end_right_after_the_start_leaves_no_call_of_kafka_behind(tmp_path: Path) -> None:
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b"}, "spec": {}}
    async with up(UpSettings(manifests=[broker], port=0, state_dir=tmp_path / "state", project_root=tmp_path)):
        await asyncio.sleep(0)
    # Waits for the threads, as the end of the process does. One that waits for a broker that is gone does so for 60 s.
    async with asyncio.timeout(30):
        await asyncio.get_running_loop().shutdown_default_executor()
