"""KafkaSinks over HTTP, whose events are read from a real broker."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer

from eventing.codecs import http, kafka
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.kafka.port import Cluster, ConsumedRecord, TopicPartition
from tests.tidegate.local.eventing.harness import event, until
from tidegate.local.eventing.delivery.hops import TTL
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.kafka.broker import TOPIC_READY, BrokerRunner
from tidegate.local.eventing.kafka.sink import KafkaSinkRunner
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.objects.eventing import KafkaSink
from tidegate.local.objects.validation import parse


class Sinks:
    """A KafkaSink `out` with a fresh topic, and a consumer of it."""

    def __init__(self, cluster: Cluster, client: aiohttp.ClientSession) -> None:
        self.topic = f"out-{uuid.uuid4().hex[:8]}"
        self.conditions: list[Condition] = []
        self.url = ""
        self._cluster = cluster
        self._client = client
        self.make(create_topics=False)

    def make(self, *, create_topics: bool) -> None:
        def report(namespace: str, name: str, condition: Condition) -> None:
            self.conditions.append(condition)

        self.brokers = BrokerRunner(self._cluster, report, create_topics=create_topics)
        self.runner = KafkaSinkRunner(self._cluster, self.brokers, report, create_topics=create_topics)

    async def apply(self, **spec: Any) -> None:
        given = {"topic": self.topic, "bootstrapServers": ["unused:9092"], **spec}
        metadata = {"name": "out", "namespace": "default"}
        item = {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "metadata": metadata, "spec": given}
        self.runner.apply(parse(KafkaSink, item), Resolved())

    async def ready(self) -> None:
        await until(lambda: Condition(type=TOPIC_READY) in self.conditions)

    async def send(self, *events: Event, mode: Mode = Mode.BINARY, path: str = "/default/out") -> int:
        message = http.encode(events, mode)
        async with self._client.post(self.url + path, data=message.body, headers=message.headers) as answer:
            return answer.status

    async def records(self, count: int) -> list[ConsumedRecord]:
        return await asyncio.to_thread(self._read, count)

    async def close(self) -> None:
        await self.runner.close()
        await self.brokers.close()

    def _read(self, count: int) -> list[ConsumedRecord]:
        consumer = self._cluster.consumer()
        consumer.assign([TopicPartition(self.topic, number) for number in consumer.partitions_for(self.topic)])
        found: list[ConsumedRecord] = []
        while len(found) < count:
            found.extend(record for records in consumer.poll(0.1).values() for record in records)
        consumer.close()
        return found


@pytest.fixture
async def sinks(stack: AsyncExitStack, cluster: Cluster, client: aiohttp.ClientSession) -> Sinks:
    found = Sinks(cluster, client)
    server = RawTestServer(lambda request: found.runner.handle(request))
    await server.start_server()
    stack.push_async_callback(server.close)
    stack.push_async_callback(found.close)
    found.url = str(server.make_url("")).rstrip("/")
    return found


@pytest.mark.parametrize("mode", [Mode.BINARY, Mode.STRUCTURED])
async def test_an_event_is_written_in_binary_mode(sinks: Sinks, mode: Mode) -> None:
    await sinks.apply()
    await sinks.ready()
    sent = event(1, partitionkey="k", subject="é")
    assert await sinks.send(sent, mode=mode) == 202
    (record,) = await sinks.records(1)
    assert kafka.decode_verbatim(record).attributes == sent.attributes
    assert (record.key, json.loads(record.value or b"")) == (b"k", {"number": 1})
    assert ("ce_specversion", b"1.0") in record.headers
    assert sinks.runner.written() == {Address("default", "out"): 1}


async def test_an_event_is_written_in_structured_mode(sinks: Sinks) -> None:
    await sinks.apply(contentMode="structured")
    await sinks.ready()
    assert await sinks.send(event(1, partitionkey="k")) == 202
    (record,) = await sinks.records(1)
    assert record.key == b"k"
    assert list(record.headers) == [("content-type", b"application/cloudevents+json")]
    assert json.loads(record.value or b"") == {**event(1, partitionkey="k").attributes, "data": {"number": 1}}


async def test_a_changed_content_mode_applies_to_the_next_event(sinks: Sinks) -> None:
    await sinks.apply()
    await sinks.ready()
    await sinks.send(event(1))
    await sinks.apply(contentMode="structured")
    await sinks.send(event(2))
    assert sorted(len(record.headers) for record in await sinks.records(2)) == [1, 5]


async def test_a_batch_is_written_as_its_events(sinks: Sinks) -> None:
    await sinks.apply()
    await sinks.ready()
    assert await sinks.send(event(1), event(2), mode=Mode.BATCH) == 202
    assert sorted(kafka.decode_verbatim(record).id for record in await sinks.records(2)) == ["e1", "e2"]


async def test_the_bound_on_hops_is_not_written(sinks: Sinks) -> None:
    await sinks.apply()
    await sinks.ready()
    assert await sinks.send(event(1, **{TTL: 7})) == 202
    (record,) = await sinks.records(1)
    assert TTL not in kafka.decode_verbatim(record).attributes


async def test_what_is_no_event_is_refused(sinks: Sinks, client: aiohttp.ClientSession) -> None:
    await sinks.apply(contentMode="structured")
    await sinks.ready()
    async with client.post(f"{sinks.url}/default/out", data=b"{}") as answer:
        assert answer.status == 400
    async with client.get(f"{sinks.url}/default/out") as answer:
        assert answer.status == 405
    # It would break the JSON of the whole event.
    assert await sinks.send(Event(event().attributes, b"{not json")) == 400
    assert await sinks.send(event(1), path="/default/other") == 404
    sinks.runner.delete("default", "out")
    assert await sinks.send(event(1)) == 404


async def test_a_missing_topic_is_a_condition_until_it_is_there(sinks: Sinks) -> None:
    # As with a cluster that does not create topics by itself.
    sinks.make(create_topics=True)
    await sinks.apply()
    assert await sinks.send(event(1)) == 503
    await until(lambda: bool(sinks.conditions))
    (condition, *_) = sinks.conditions
    assert (condition.status, condition.reason) == ("False", "Topic is not present or invalid")
    assert f"the topic {sinks.topic} does not exist" in condition.message
    await (await sinks.brokers.writer()).partitions(sinks.topic)
    await sinks.ready()
    assert await sinks.send(event(1)) == 202
