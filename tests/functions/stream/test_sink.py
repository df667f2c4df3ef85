"""Responses of a sink: limits are applied before they are read, and each event gets a disposition."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from common import http_client
from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem, completed, failed
from functions.stream import sink
from functions.stream.sink import Failure, Sink, Success, classify

REPLY = Event({"specversion": "1.0", "id": "r", "source": "/m", "type": "t"}, {"a": 1})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Handler], Awaitable[Success | Failure]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Posts to a sink with this handler and returns the outcome."""
    servers: list[TestServer] = []

    async def post(handler: Handler) -> Success | Failure:
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


async def test_response_is_a_batch_of_events(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=json.encode_batch([REPLY]), headers={"content-type": json.BATCH_MEDIA_TYPE})

    assert await ask(handler) == Success([REPLY])


@pytest.mark.parametrize(("status", "kept"), [(200, 413), (503, 503)])
async def test_endless_response_is_read_up_to_a_limit_and_closed(ask: Ask, status: int, kept: int) -> None:
    sent, over = list[int](), asyncio.Event()
    answer = await ask(without_end(status, sent, over))
    assert isinstance(answer, Failure)
    assert answer.problem.status == kept
    await over.wait()
    # The rest is what the buffers of two sockets hold.
    assert sum(sent) < (sink.RESPONSE_BYTES if status == 200 else 0) + 32 * 2**20


async def test_response_at_the_limit_is_read(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=json.encode_batch([REPLY]).ljust(sink.RESPONSE_BYTES))

    assert await ask(handler) == Success([REPLY])


async def test_compressed_response_is_refused_unread(ask: Ask) -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers["accept-encoding"])
        return web.Response(body=gzip.compress(b" " * 2**20), headers={"content-encoding": "gzip"})

    answer = await ask(handler)
    assert asked == ["identity"]
    assert isinstance(answer, Failure)
    assert answer.problem.status == 502
    assert answer.problem.detail == "the sink answered 200 with Content-Encoding 'gzip', although the request accepts only 'identity'."


async def test_compressed_error_has_no_reason(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=429, body=gzip.compress(b"wait"), headers={"content-encoding": "gzip", "retry-after": "7"})

    answer = await ask(handler)
    assert isinstance(answer, Failure)
    assert (answer.problem.detail, answer.retry_after) == ("the sink answered 429: (no reason was given)", 7.0)


async def test_long_error_is_cut(ask: Ask) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=400, text="é" * 3_000_000)

    answer = await ask(handler)
    assert isinstance(answer, Failure)
    assert len(answer.problem.detail) < 600


REQUEST = Event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t"})
SCORED = completed(REQUEST, "flights", "v1", 0.5)


def problem(status: int) -> Problem:
    return Problem(status, "title", "detail.")


def test_each_reply_has_its_own_disposition() -> None:
    replies = [SCORED, failed(REQUEST, "flights", problem(503)), failed(REQUEST, "flights", problem(400))]
    dispositions = classify(Success(replies), 3)
    assert dispositions is not None
    assert [(disposition.event is not None, disposition.retry) for disposition in dispositions] == [
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize("status", [404, 408, 425, 429, 500, 502, 503, 504])
@given(count=st.integers(1, 300))
def test_retryable_failure_retries_the_whole_batch(status: int, count: int) -> None:
    dispositions = classify(Failure(problem(status)), count)
    assert dispositions is not None
    assert len(dispositions) == count
    assert all(disposition.retry for disposition in dispositions)


@pytest.mark.parametrize("status", [302, 400, 413, 415, 422])
def test_refused_batch_is_divided_down_to_one_event(status: int) -> None:
    assert classify(Failure(problem(status)), 2) is None
    dispositions = classify(Failure(problem(status)), 1)
    assert dispositions is not None
    assert [disposition.retry for disposition in dispositions] == [False]


def test_missing_reply_retries_each_event() -> None:
    dispositions = classify(Success([SCORED]), 2)
    assert dispositions is not None
    assert all(disposition.retry and disposition.problem is not None for disposition in dispositions)
    assert dispositions[0].problem is not None
    assert dispositions[0].problem.detail.startswith("the sink answered 2 events with 1 replies")
