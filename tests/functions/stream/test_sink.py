"""Answers of a sink that mean no good: they are bounded before they are read."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common import http_client
from eventing.codecs import json
from eventing.event import Event
from functions.stream import sink
from functions.stream.sink import Sink
from functions.stream.verdict import Answered, Refused

REPLY = Event({"specversion": "1.0", "id": "r", "source": "/m", "type": "t"}, {"a": 1})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Handler], Awaitable[Answered | Refused]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """What a sink's answer is taken for."""
    servers: list[TestServer] = []

    async def post(handler: Handler) -> Answered | Refused:
        app = web.Application()
        app.router.add_post("/", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        async with http_client.session(timeout_seconds=30, raw=True) as session:
            return await Sink(session, str(servers[-1].make_url("/"))).post([b"{}"])

    yield post
    for server in servers:
        await server.close()


def without_end(status: int, sent: list[int], over: asyncio.Event) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 2**16)
                sent.append(2**16)
        finally:
            over.set()

    return handler


async def test_an_answer_is_a_batch_of_events(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=json.encode_batch([REPLY]), headers={"content-type": json.BATCH_MEDIA_TYPE})

    assert await ask(handler) == Answered([REPLY])


@pytest.mark.parametrize(("status", "kept"), [(200, 413), (503, 503)])
async def test_an_answer_without_an_end_is_read_up_to_a_bound_and_its_connection_closed(ask: Ask, status: int, kept: int) -> None:
    sent, over = list[int](), asyncio.Event()
    answer = await ask(without_end(status, sent, over))
    assert isinstance(answer, Refused)
    assert answer.problem.status == kept
    await over.wait()
    # The rest is what the buffers of two sockets hold.
    assert sum(sent) < (sink.ANSWER_BYTES if status == 200 else 0) + 32 * 2**20


async def test_an_answer_at_the_bound_is_read(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=json.encode_batch([REPLY]).ljust(sink.ANSWER_BYTES))

    assert await ask(handler) == Answered([REPLY])


async def test_a_compressed_answer_is_not_asked_for_and_not_read(ask: Ask) -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers["accept-encoding"])
        return web.Response(body=gzip.compress(b" " * 2**20), headers={"content-encoding": "gzip"})

    answer = await ask(handler)
    assert asked == ["identity"]
    assert isinstance(answer, Refused)
    assert answer.problem.status == 502
    assert answer.problem.detail == "the sink answered 200 compressed ('gzip'), although that was not asked for."


async def test_a_compressed_refusal_is_one_without_its_reason(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=429, body=gzip.compress(b"wait"), headers={"content-encoding": "gzip", "retry-after": "7"})

    answer = await ask(handler)
    assert isinstance(answer, Refused)
    assert (answer.problem.detail, answer.retry_after) == ("the sink answered 429: (no reason was given)", 7.0)


async def test_a_refusal_is_cut(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=400, text="é" * 3_000_000)

    answer = await ask(handler)
    assert isinstance(answer, Refused)
    assert len(answer.problem.detail) < 600
