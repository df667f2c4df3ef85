"""KafkaSources from topics of a real broker to a real HTTP server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventing.codecs import kafka
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.port import Cluster
from tests.tidegate.local.eventing.harness import Sink, event, respond, until
from tidegate.local.eventing.delivery.transport import HttpPost
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.kafka.broker import BrokerRunner
from tidegate.local.eventing.kafka.source import CONSUMER_GROUP, KafkaSourceRunner
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.objects.eventing import KafkaSource
from tidegate.local.objects.validation import parse

StartSink = Callable[..., Awaitable[Sink]]


class Sources:
    """KafkaSources, a fresh topic, and a producer for it."""

    def __init__(self, cluster: Cluster, client: aiohttp.ClientSession) -> None:
        self.name = uuid.uuid4().hex[:8]
        self.topic = f"orders-{self.name}"
        self.conditions: list[Condition] = []
        self.cluster = cluster
        self._post = HttpPost(client)
        self.brokers = BrokerRunner(cluster, self._report, create_topics=False)
        self.make(create_topics=False)

    def make(self, *, create_topics: bool) -> None:
        """Begin as after a restart."""
        self.runner = KafkaSourceRunner(self.cluster, self.brokers, self._post, self._report, create_topics=create_topics)

    def source(self, **spec: Any) -> KafkaSource:
        given = {"bootstrapServers": ["unused:9092"], "topics": [self.topic], "consumerGroup": self.name, "sink": {"uri": "http://unused"}}
        metadata = {"name": "orders", "namespace": "default"}
        item = {"apiVersion": "sources.knative.dev/v1", "kind": "KafkaSource", "metadata": metadata, "spec": {**given, **spec}}
        return parse(KafkaSource, item)

    def apply(self, sink: str | None, dead_letter: str | None = None, **spec: Any) -> None:
        item = self.source(**spec)
        self.runner.apply(item, Resolved(sink=sink, dead_letter=dead_letter, delivery=item.spec.delivery))

    async def ready(self) -> None:
        await until(lambda: Condition(type=CONSUMER_GROUP) in self.conditions)

    async def publish(self, *messages: Message, topic: str | None = None) -> None:
        writer = await self.brokers.writer()
        for message in messages:
            await writer.write(topic or self.topic, message)

    def _report(self, namespace: str, name: str, condition: Condition) -> None:
        self.conditions.append(condition)

    async def close(self) -> None:
        await self.runner.close()
        await self.brokers.close()


@pytest.fixture
async def sources(stack: AsyncExitStack, cluster: Cluster, client: aiohttp.ClientSession) -> Sources:
    found = Sources(cluster, client)
    stack.push_async_callback(found.close)
    return found


def raw(text: str, key: bytes | None = None) -> Message:
    return Message(key, text.encode(), [])


async def test_records_are_delivered_as_events(sources: Sources, sink: StartSink) -> None:
    received = await sink()
    sources.apply(received.url, ceOverrides={"extensions": {"team": "flights"}})
    await sources.ready()
    await sources.publish(raw("plain", b"k"), kafka.encode(event(1)))
    await received.wait(2)
    wrapped, own = sorted(received.events, key=lambda found: found.source != "/test", reverse=True)
    assert (wrapped.type, wrapped.data, wrapped.get("key")) == ("dev.knative.kafka.event", b"plain", "k")
    assert wrapped.source == f"/apis/v1/namespaces/default/kafkasources/orders#{sources.topic}"
    assert (own.id, own.data, own.get("team")) == ("e1", event(1).data, "flights")
    await until(lambda: sources.runner.counts()[Address("default", "orders")].delivered == 2)


@pytest.mark.parametrize(("offset", "expected"), [("earliest", ["e1", "e2"]), ("latest", ["e2"])])
async def test_a_new_group_starts_at_the_initial_offset(sources: Sources, sink: StartSink, offset: str, expected: list[str]) -> None:
    received = await sink()
    await sources.publish(kafka.encode(event(1, partitionkey="k")))
    sources.apply(received.url, initialOffset=offset)
    await sources.ready()
    await sources.publish(kafka.encode(event(2, partitionkey="k")))
    await received.wait(len(expected))
    assert received.ids == expected


async def test_a_group_continues_where_it_was(sources: Sources, sink: StartSink) -> None:
    received = await sink()
    sources.apply(received.url, initialOffset="earliest")
    await sources.ready()
    await sources.publish(kafka.encode(event(1, partitionkey="k")))
    await received.wait(1)
    await sources.runner.close()
    await sources.publish(kafka.encode(event(2, partitionkey="k")))
    sources.make(create_topics=False)
    sources.apply(received.url, initialOffset="earliest")
    await received.wait(2)
    assert received.ids == ["e1", "e2"]


async def test_several_topics_have_one_group(sources: Sources, sink: StartSink) -> None:
    received = await sink()
    other = f"{sources.topic}-other"
    sources.apply(received.url, topics=[sources.topic, other], initialOffset="earliest")
    await sources.publish(kafka.encode(event(1)))
    await sources.publish(kafka.encode(event(2)), topic=other)
    await received.wait(2)
    assert sorted(received.ids) == ["e1", "e2"]


async def test_ordered_records_of_a_partition_are_delivered_one_at_a_time(sources: Sources, sink: StartSink) -> None:
    first = True

    async def fail_once(_: Event) -> web.Response:
        nonlocal first
        first, status = False, 503 if first else 200
        return respond(status=status)

    received = await sink(fail_once)
    sources.apply(received.url, delivery={"retry": 3, "backoffDelay": "PT0.01S"})
    await sources.ready()
    await sources.publish(*(kafka.encode(event(number, partitionkey="k")) for number in range(5)))
    await received.wait(6)
    assert received.ids == ["e0", "e0", "e1", "e2", "e3", "e4"]
    assert received.most_in_flight == 1


async def test_unordered_records_are_delivered_together(sources: Sources, sink: StartSink) -> None:
    both = asyncio.Event()

    async def wait_for_both(_: Event) -> web.Response:
        if received.in_flight == 2:
            both.set()
        await both.wait()
        return respond()

    received = await sink(wait_for_both)
    sources.apply(received.url, ordering="unordered")
    await sources.ready()
    await sources.publish(*(kafka.encode(event(number, partitionkey="k")) for number in range(2)))
    await received.wait(2)
    await both.wait()


async def test_a_refused_record_goes_to_the_dead_letter_sink(sources: Sources, sink: StartSink) -> None:
    async def refuse(_: Event) -> web.Response:
        return respond(status=400)

    received, dead = await sink(refuse), await sink()
    sources.apply(received.url, dead.url, delivery={"deadLetterSink": {"uri": dead.url}})
    await sources.ready()
    await sources.publish(kafka.encode(event(1)))
    (letter,) = await dead.wait(1)
    assert (letter.id, letter.get("knativeerrorcode"), letter.get("knativeerrordest")) == ("e1", "400", received.url)


async def test_any_answer_of_success_is_enough(sources: Sources, sink: StartSink) -> None:
    async def chat(_: Event) -> web.Response:
        return web.json_response({"thanks": True})

    received = await sink(chat)
    sources.apply(received.url)
    await sources.ready()
    await sources.publish(kafka.encode(event(1)), kafka.encode(event(2)))
    await received.wait(2)
    await until(lambda: sources.runner.counts()[Address("default", "orders")].delivered == 2)
    assert sorted(received.ids) == ["e1", "e2"]


@pytest.mark.parametrize("waiting", [{"sink": None}, {"consumers": 0}], ids=["no-sink", "no-consumers"])
async def test_a_source_without_sink_or_consumers_waits(sources: Sources, sink: StartSink, waiting: dict[str, Any]) -> None:
    received = await sink()
    sources.apply(**{"sink": received.url, **waiting})
    await sources.ready()
    await sources.publish(kafka.encode(event(1)))
    assert received.events == []
    sources.apply(received.url)
    await received.wait(1)


async def test_a_deleted_source_delivers_nothing_more_and_starts_again(sources: Sources, sink: StartSink) -> None:
    received = await sink()
    sources.apply(received.url)
    await sources.ready()
    await sources.publish(kafka.encode(event(1, partitionkey="k")))
    await received.wait(1)
    sources.runner.delete("default", "orders")
    sources.conditions.clear()
    await sources.publish(kafka.encode(event(2, partitionkey="k")))
    sources.apply(received.url)
    await sources.ready()
    await sources.publish(kafka.encode(event(3, partitionkey="k")))
    await received.wait(2)
    assert received.ids == ["e1", "e3"]


async def test_a_missing_topic_is_a_condition_and_is_waited_for(sources: Sources, sink: StartSink) -> None:
    received = await sink()
    # As with a cluster that does not create topics by itself.
    await sources.runner.close()
    sources.make(create_topics=True)
    sources.apply(received.url, initialOffset="earliest")
    await until(lambda: bool(sources.conditions))
    (condition, *_) = sources.conditions
    assert (condition.status, condition.reason) == ("False", "InitializeOffset")
    assert f"the topic {sources.topic} does not exist" in condition.message
    await sources.publish(kafka.encode(event(1)))
    await received.wait(1)
    await sources.ready()
