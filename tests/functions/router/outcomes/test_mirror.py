from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from functions.router.metrics import Metrics
from functions.router.outcomes.mirror import Mirror, Request
from functions.router.upstream import Upstream
from functions.runtime.knative.traffic import RoutedModel, model_of
from tests.functions.router.conftest import StartServer
from tests.functions.router.flights import service


class Shadow:
    """A shadow that answers when it is released; its model, and a mirror of requests to it."""

    def __init__(self, upstream: Upstream) -> None:
        self.release = asyncio.Event()
        self.arrived = asyncio.Event()
        self.busy = False
        self.metrics = Metrics()
        self.mirror = Mirror(upstream, self.metrics, lambda: self.busy)
        self.model: RoutedModel
        self.answers: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.arrived.set()
        await self.release.wait()
        return web.Response(body=await request.read())

    def send(self, body: bytes = b"{}", answer_bytes: int = 0) -> bool:
        return self.mirror.send(self.model, Request("POST", "/v2/models/flights/infer", [], body), answer_bytes, self.answers.put_nowait)


@pytest.fixture
async def shadow(start_server: StartServer) -> AsyncIterator[Shadow]:
    async with Upstream() as upstream:
        found = Shadow(upstream)
        found.model = model_of(service(await start_server(found.answer), ("v1", 100), ("shadow", 0)))
        yield found
        found.release.set()
        await found.mirror.close()


async def test_a_copy_is_answered(shadow: Shadow) -> None:
    shadow.release.set()
    assert shadow.send(b"1")
    assert await shadow.answers.get() == b"1"
    assert shadow.metrics.shadows == {("flights", "answered"): 1}


async def test_a_busy_router_sends_no_copies(shadow: Shadow) -> None:
    shadow.busy = True
    assert not shadow.send()
    assert shadow.metrics.shadows == {("flights", "dropped"): 1}
    shadow.busy = False
    assert shadow.send()


async def test_bytes_in_flight_are_bounded_and_given_back(shadow: Shadow) -> None:
    large = b"x" * 9 * 2**20
    assert shadow.send(large)
    assert not shadow.send(large)
    assert not shadow.send(b"small", answer_bytes=4 * 2**20)  # the caller's answer is kept, and that of the shadow
    assert shadow.send(b"small")
    shadow.release.set()
    for _ in range(2):
        await shadow.answers.get()
    await asyncio.sleep(0)
    assert shadow.send(large)


async def test_copies_in_flight_are_abandoned_at_the_end(shadow: Shadow) -> None:
    assert shadow.send()
    await shadow.arrived.wait()
    await shadow.mirror.close()
    assert shadow.answers.empty()
