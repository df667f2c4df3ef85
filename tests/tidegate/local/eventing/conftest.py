"""Brokers and Triggers on a real broker (librdkafka's mock cluster), with real HTTP servers as their subscribers."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from common import http_client
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, Cluster
from tests.tidegate.local.eventing.harness import BROKER_HOST, Answer, Eventing, Sink, respond
from tidegate.local.eventing.delivery.transport import HttpPost
from tidegate.local.eventing.kafka.broker import BrokerRunner
from tidegate.local.eventing.kafka.trigger import TriggerRunner
from tidegate.local.eventing.runner import Condition
from tidegate.local.objects.eventing import EXTERNAL_TOPIC


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as found:
        yield found


@pytest.fixture
def cluster(broker: Broker) -> Cluster:
    return cluster_of(broker)


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
    found.broker(**{EXTERNAL_TOPIC: f"events-{uuid.uuid4().hex[:8]}"})
    await found.ready("b", kind="TopicReady")
    return found
