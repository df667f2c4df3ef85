"""Brokers and Triggers on a real broker (librdkafka's mock cluster), with real HTTP servers as their subscribers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from common import http_client
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, Cluster
from tidegate.local.eventing.broker import BrokerRunner
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.eventing.transport import HttpPost
from tidegate.local.eventing.trigger import TriggerRunner
from tidegate.local.objects import eventing as objects

NAMESPACE = "default"
BROKER_HOST = "broker-ingress.localhost"
Answer = Callable[[Event], Awaitable[web.Response]]


def event(number: int = 0, **attributes: str | int) -> Event:
    """An event with a body that is not JSON as orjson writes it."""
    given = {"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": "t", "datacontenttype": "application/json", **attributes}
    return Event(given, b'{ "number": %d }' % number)


def respond(reply: Event | None = None, *, status: int = 200) -> web.Response:
    """A response with an event, or an empty one."""
    if reply is None:
        return web.Response(status=204 if status == 200 else status)
    message = http.encode([reply], Mode.BINARY)
    return web.Response(status=status, headers=message.headers, body=message.body)


@dataclass
class Sink:
    """A subscriber that records what it receives."""

    url: str = ""
    events: list[Event] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ids(self) -> list[str]:
        return [found.id for found in self.events]

    async def wait(self, count: int) -> list[Event]:
        """Wait until there are that many events."""
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: len(self.events) >= count)
        return self.events


@dataclass
class Eventing:
    """A Broker named `b`, and Triggers made by the tests."""

    brokers: BrokerRunner
    triggers: TriggerRunner
    post: HttpPost
    ingress: str
    conditions: list[tuple[str, str, Condition]]
    name: str = "b"

    def broker(self, name: str = "b", **annotations: str) -> None:
        manifest = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": metadata(name, annotations)}
        self.brokers.apply(objects.Broker.model_validate(manifest), Resolved())

    def trigger(
        self, name: str, url: str | None, *, dead_letter: str | None = None, order: str = "", broker: str = "b", **spec: Any
    ) -> None:
        annotations = {objects.DELIVERY_ORDER: order} if order else {}
        delivery = spec.get("delivery")
        manifest = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": metadata(name, annotations),
            "spec": {"broker": broker, "subscriber": {"uri": "http://unused"}, **spec},
        }
        item = objects.Trigger.model_validate(manifest)
        resolved = Resolved(subscriber=url, dead_letter=dead_letter, delivery=delivery and item.spec.delivery)
        self.triggers.apply(item, resolved)

    async def ready(self, *names: str, kind: str = "DependencyReady") -> None:
        """Wait until each of these objects has the condition."""
        async with asyncio.timeout(60):
            while not all(any(found == (NAMESPACE, name, Condition(type=kind)) for found in self.conditions) for name in names):
                await asyncio.sleep(0.01)

    async def send(self, *events: Event, mode: Mode = Mode.BINARY, broker: str = "b") -> int:
        answer = await self.post(f"{self.ingress}/{NAMESPACE}/{broker}", http.encode(events, mode))
        return answer.status


def metadata(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "annotations": annotations}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as found:
        yield found


@pytest.fixture
def cluster(broker: Broker) -> Cluster:
    return KafkaCluster(broker)


@pytest.fixture
async def client(stack: AsyncExitStack) -> aiohttp.ClientSession:
    return await stack.enter_async_context(http_client.session(timeout_seconds=None, raw=True))


@pytest.fixture
async def sink(stack: AsyncExitStack) -> Callable[..., Awaitable[Sink]]:
    """Starts a subscriber, which answers 204 unless an answer is given."""

    async def start(answer: Answer | None = None) -> Sink:
        found = Sink()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            (received,) = http.decode(Message(headers, await request.read()), http.mode_of(headers) or Mode.BINARY, verbatim=True)
            found.in_flight += 1
            found.most_in_flight = max(found.most_in_flight, found.in_flight)
            async with found.news:
                found.events.append(received)
                found.headers.append(headers)
                found.times.append(time.monotonic())
                found.news.notify_all()
            try:
                return await answer(received) if answer else respond()
            finally:
                found.in_flight -= 1

        server = RawTestServer(handle)
        await server.start_server()
        stack.push_async_callback(server.close)
        found.url = str(server.make_url("/"))
        return found

    return start


@pytest.fixture
async def eventing(stack: AsyncExitStack, cluster: Cluster, client: aiohttp.ClientSession) -> Eventing:
    """The runners of Brokers and Triggers, with an ingress of its own and fresh topics."""
    conditions: list[tuple[str, str, Condition]] = []

    def report(namespace: str, name: str, condition: Condition) -> None:
        conditions.append((namespace, name, condition))

    brokers = BrokerRunner(cluster, report, create_topics=False)
    triggers = TriggerRunner(cluster, brokers, HttpPost(client), report)
    server = RawTestServer(brokers.handle, host="127.0.0.1")
    await server.start_server()
    stack.push_async_callback(server.close)
    stack.push_async_callback(brokers.close)
    stack.push_async_callback(triggers.close)
    found = Eventing(brokers, triggers, HttpPost(client), f"http://{BROKER_HOST}:{server.port}", conditions)
    found.broker(**{"kafka.eventing.knative.dev/external.topic": f"events-{uuid.uuid4().hex[:8]}"})
    await found.ready("b", kind="TopicReady")
    return found
