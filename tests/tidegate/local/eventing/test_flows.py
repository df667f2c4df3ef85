"""Sequences and Parallels, with subscribers that are functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import BaseTestServer, RawTestServer

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from tidegate.local.eventing import flows
from tidegate.local.eventing.delivery.transport import Answer
from tidegate.local.eventing.flows import FlowRunner
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.destinations import destinations
from tidegate.local.objects.eventing import Parallel, Sequence
from tidegate.local.objects.resources import Manifest

Object = dict[str, Any]
EVENT = Event({"specversion": "1.0", "id": "1", "source": "/t", "type": "start", "datacontenttype": "text/plain"}, b"data")
Reply = Callable[[Event], Event | int | None]


class Subscribers:
    """Subscribers by their URL, each with a reply, a status or nothing, and what they received."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.received: list[tuple[str, str]] = []
        self.called = asyncio.Event()

    async def __call__(self, url: str, message: Message) -> Answer:
        (event,) = http.decode(message, Mode.BINARY)
        self.received.append((url, event.type))
        self.called.set()
        reply = self.replies[url](event) if url in self.replies else None
        if isinstance(reply, int):
            return Answer(status=reply, headers={}, body=b"")
        if reply is None:
            return Answer(status=202, headers={}, body=b"")
        encoded = http.encode([reply], Mode.BINARY)
        return Answer(status=200, headers=encoded.headers, body=encoded.body)

    def urls(self, type_: str) -> list[str]:
        return sorted(url for url, found in self.received if found == type_)


def becomes(type_: str) -> Reply:
    return lambda event: event.with_attributes(type=type_)


def uri(name: str, **others: Any) -> Object:
    return {"uri": f"http://{name}", **others}


def resolved(item: Manifest) -> Resolved:
    return Resolved(urls={path: destination.uri or "" for path, destination in destinations(item)})


@pytest.fixture
def subscribers() -> Subscribers:
    return Subscribers()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def sequence(*steps: Object, **spec: Any) -> Sequence:
    metadata = {"name": "s", "namespace": "default"}
    item = {"apiVersion": "flows.knative.dev/v1", "kind": "Sequence", "metadata": metadata, "spec": {"steps": list(steps), **spec}}
    return Sequence.model_validate(item)


def parallel(*branches: Object, **spec: Any) -> Parallel:
    metadata = {"name": "p", "namespace": "default"}
    item = {"apiVersion": "flows.knative.dev/v1", "kind": "Parallel", "metadata": metadata, "spec": {"branches": list(branches), **spec}}
    return Parallel.model_validate(item)


async def no_wait(_: float) -> None:
    """Retry at once."""


async def run_sequence(item: Sequence, subscribers: Subscribers) -> list[tuple[str, str]]:
    await flows.sequence(item, resolved(item), subscribers)(EVENT, no_wait)
    return subscribers.received


async def test_each_step_receives_the_reply_of_the_one_before(subscribers: Subscribers) -> None:
    subscribers.replies = {"http://a": becomes("one"), "http://b": becomes("two")}
    received = await run_sequence(sequence(uri("a"), uri("b"), reply=uri("c")), subscribers)
    assert received == [("http://a", "start"), ("http://b", "one"), ("http://c", "two")]


async def test_step_without_a_reply_ends_the_sequence(subscribers: Subscribers) -> None:
    assert await run_sequence(sequence(uri("a"), uri("b")), subscribers) == [("http://a", "start")]


async def test_step_that_fails_is_retried_and_then_dead_lettered(subscribers: Subscribers) -> None:
    subscribers.replies = {"http://a": lambda _: 503}
    delivery = {"retry": 2, "backoffDelay": "PT1S", "backoffPolicy": "linear", "deadLetterSink": uri("dead")}
    received = await run_sequence(sequence(uri("a", delivery=delivery), uri("b")), subscribers)
    assert received == [("http://a", "start")] * 3 + [("http://dead", "start")]


async def test_parallel_filters_and_replies_by_branch(subscribers: Subscribers) -> None:
    subscribers.replies = {
        "http://yes": becomes("passed"),
        "http://one": becomes("first"),
        "http://two": becomes("second"),
    }
    branches = (
        {"filter": uri("yes"), "subscriber": uri("one"), "reply": uri("own")},
        {"filter": uri("no"), "subscriber": uri("never")},
        {"subscriber": uri("two")},
    )
    item = parallel(*branches, reply=uri("common"))
    await flows.parallel(item, resolved(item), subscribers)(EVENT, no_wait)
    assert subscribers.urls("start") == ["http://no", "http://two", "http://yes"]
    assert subscribers.urls("passed") == ["http://one"]
    assert (subscribers.urls("first"), subscribers.urls("second")) == (["http://own"], ["http://common"])


async def post(server: BaseTestServer, client: aiohttp.ClientSession, path: str) -> int:
    message = http.encode([EVENT], Mode.BINARY)
    async with client.post(server.make_url(path), data=message.body, headers=message.headers) as response:
        return response.status


async def test_ingress_answers_when_the_last_step_is_done(subscribers: Subscribers, client: aiohttp.ClientSession) -> None:
    runner = FlowRunner(flows.sequence, subscribers)
    async with RawTestServer(runner.handle) as server:
        assert await post(server, client, "/default/s") == 404
        item = sequence(uri("a"))
        runner.apply(item, Resolved())
        assert await post(server, client, "/default/s") == 503
        runner.apply(item, resolved(item))
        assert await post(server, client, "/default/s") == 202
        assert subscribers.received == [("http://a", "start")]
        async with client.get(server.make_url("/default/s")) as response:
            assert response.status == 405
        runner.delete("default", "s")
        assert await post(server, client, "/default/s") == 404


async def test_event_that_waits_for_a_retry_is_refused_at_the_end(subscribers: Subscribers, client: aiohttp.ClientSession) -> None:
    subscribers.replies = {"http://a": lambda _: 503}
    runner = FlowRunner(flows.sequence, subscribers)
    item = sequence(uri("a", delivery={"retry": 9, "backoffDelay": "PT1H"}))
    runner.apply(item, resolved(item))
    async with RawTestServer(runner.handle) as server:
        waiting = asyncio.create_task(post(server, client, "/default/s"))
        await subscribers.called.wait()
        await runner.close()
        assert await waiting == 503
