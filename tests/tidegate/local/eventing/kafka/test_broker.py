"""The ingress of a Broker, over HTTP and on a real broker."""

from __future__ import annotations

import gzip
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.fake.cluster import FakeCluster
from tests.tidegate.local.eventing.harness import Eventing, Sink, as_sent, event, until
from tidegate.local.eventing.delivery.hops import TTL
from tidegate.local.eventing.ingress import MAX_BODY_BYTES, Address
from tidegate.local.eventing.kafka.broker import BrokerRunner
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.objects.eventing import Broker

StartSink = Callable[..., Awaitable[Sink]]
BINARY = dict(http.encode([event()], Mode.BINARY).headers)
JSON = {"Content-Type": "application/cloudevents+json"}


@pytest.mark.parametrize("mode", list(Mode))
async def test_events_of_each_content_mode_are_accepted(eventing: Eventing, sink: StartSink, mode: Mode) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    sent = [event(number) for number in range(3 if mode is Mode.BATCH else 1)]

    assert await eventing.send(*sent, mode=mode) == 202

    await received.wait(len(sent))
    assert sorted(received.ids) == [found.id for found in sent]
    assert [found.value() for found in received.events] == [{"number": int(found.id[1:])} for found in received.events]
    assert eventing.brokers.written() == {Address("default", "b"): len(sent)}


async def test_event_without_data_is_accepted(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    sent = Event({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"})

    await eventing.send(sent)

    assert as_sent(*await received.wait(1)) == [sent]


async def bodies(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 1 << 16):
        yield b" " * (1 << 16)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "sentence"),
    [
        ("GET", "/default/b", {}, b"", 405, "events are sent by POST, not by GET."),
        ("POST", "/default/c", BINARY, b"{}", 404, "no Broker has the path /default/c; known paths: /default/b."),
        ("POST", "/default/b/more", BINARY, b"{}", 404, "no Broker has the path /default/b/more; known paths: /default/b."),
        ("POST", "/", BINARY, b"{}", 404, "no Broker has the path /; known paths: /default/b."),
        ("POST", "/default/b", {}, b"{}", 400, "the request is no CloudEvent; send ce- headers, or application/cloudevents+json."),
        ("POST", "/default/b", {**BINARY, "ce-type": ""}, b"{}", 400, "the event's type is ''; it must be a non-empty string."),
        ("POST", "/default/b", JSON, b"{", 400, "the body is not JSON: "),
        ("POST", "/default/b", {**BINARY, "ce-subject": "a%0Ab"}, b"{}", 400, "the event's attribute subject has a control character"),
        ("POST", "/default/b", {**BINARY, f"ce-{TTL}": "0"}, b"{}", 400, "the event e0 has gone through 255 Brokers"),
        (
            "POST",
            "/default/b",
            {**BINARY, "Content-Encoding": "gzip"},
            gzip.compress(b"{}"),
            415,
            "unsupported Content-Encoding; send the body uncompressed.",
        ),
        ("POST", "/default/b", BINARY, b" " * (1 << 20), 413, "an event is larger than Kafka accepts: "),
        ("POST", "/default/b", BINARY, b" " * (MAX_BODY_BYTES + 1), 413, "the body is larger than 8 MiB; send a smaller batch."),
        ("POST", "/default/b", BINARY, "chunked", 413, "the body is larger than 8 MiB; send a smaller batch."),
    ],
    ids=[
        *("method", "unknown-broker", "longer-path", "no-path", "no-event", "empty-type", "invalid-json", "control-character", "hops"),
        *("compressed", "larger-than-kafka-accepts", "larger-than-the-limit", "chunked-beyond-the-limit"),
    ],
)
async def test_request_is_refused_with_a_sentence(
    eventing: Eventing,
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Any,
    status: int,
    sentence: str,
) -> None:
    data = bodies(MAX_BODY_BYTES + 1) if body == "chunked" else io.BytesIO(body)

    async with client.request(method, f"{eventing.ingress}{path}", headers=headers, data=data) as answer:
        found = await answer.json()

    assert answer.status == status
    assert found["error"].startswith(sentence)


async def test_batch_with_an_invalid_event_is_refused_as_a_whole(eventing: Eventing, client: aiohttp.ClientSession) -> None:
    body = http.encode([event(1), event(2)], Mode.BATCH)
    broken = body.body.replace(b'"e2"', b'""')

    async with client.post(f"{eventing.ingress}/default/b", headers=body.headers, data=broken) as answer:
        assert answer.status == 400
        assert "event 1 of the batch" in await answer.text()

    assert eventing.brokers.written() == {Address("default", "b"): 0}


async def test_deleted_broker_accepts_nothing(eventing: Eventing) -> None:
    eventing.brokers.delete("default", "b")

    assert await eventing.send(event()) == 404


async def test_broker_is_ready_once_kafka_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.local.eventing.kafka.broker._PAUSE_SECONDS", 0.01)
    cluster, conditions = FakeCluster(creates_topics=False), []
    cluster.set_reachable(False)
    brokers = BrokerRunner(cluster, lambda *found: conditions.append(found), create_topics=True)
    manifest = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b", "namespace": "default"}}
    brokers.apply(Broker.model_validate(manifest), Resolved())
    await until(lambda: bool(conditions))
    assert conditions[0][:2] == ("default", "b")
    assert conditions[0][2].status == "False"
    assert conditions[0][2].reason == "Failed to create topic: knative-broker-default-b"

    cluster.set_reachable(True)
    topic = await brokers.topic("default", "b")

    assert topic.name == "knative-broker-default-b"
    assert topic.ends == dict.fromkeys(range(10), 0)
    assert conditions[-1] == ("default", "b", Condition(type="TopicReady"))
    await brokers.close()


async def test_event_that_kafka_does_not_take_is_refused(client: aiohttp.ClientSession) -> None:
    cluster = FakeCluster()
    brokers = BrokerRunner(cluster, lambda *_: None, create_topics=False)
    manifest = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b", "namespace": "default"}}
    brokers.apply(Broker.model_validate(manifest), Resolved())
    topic = await brokers.topic("default", "b")
    cluster.refuse(lambda *_: BrokerUnreachable("gone"))

    with pytest.raises(BrokerUnreachable, match="gone"):
        await topic.append(event())

    await brokers.close()
