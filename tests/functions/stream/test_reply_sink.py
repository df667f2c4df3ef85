from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common import http_client
from eventing import deadletter
from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka import lag
from eventing.kafka.factory import cluster_of
from functions.stream import startup
from functions.stream.reply_sink import Accepted, ReplySink
from functions.stream.settings import ReplySettings, StreamSettings
from functions.stream.sink import Failure

Publish = Callable[[str, list[Message]], None]
Collect = Callable[..., list[Any]]
Serve = Callable[[Any], Awaitable[str]]
Flight = Callable[[int], Message]
Score = Callable[[Event], Event]
Handle = Callable[[web.Request], Awaitable[web.Response]]
Ingress = Callable[[Handle], Awaitable[str]]

REPLIES = [
    Event({"specversion": "1.0", "id": str(number), "source": "/models/m", "type": "t", "subject": "Zürich %"}, {"delayed": 0.5})
    for number in range(3)
]


@pytest.fixture
async def ingress() -> AsyncIterator[Ingress]:
    """Starts the sink of replies with this handler, and returns its URL."""
    servers: list[TestServer] = []

    async def start(handle: Handle) -> str:
        app = web.Application()
        app.router.add_post("/default", handle)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/default"))

    yield start
    for server in servers:
        await server.close()


async def events_of(request: web.Request, mode: Mode) -> list[Event]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert http.mode_of(headers) is mode
    return http.decode(http.Message(headers, await request.read()), mode)


@pytest.mark.parametrize(("batch_size", "mode"), [(1, Mode.BINARY), (10, Mode.BATCH)])
async def test_replies_are_posted_in_the_mode_that_the_sink_takes(ingress: Ingress, batch_size: int, mode: Mode) -> None:
    received: list[list[Event]] = []

    async def handle(request: web.Request) -> web.Response:
        received.append(await events_of(request, mode))
        return web.Response(status=202)

    url = await ingress(handle)
    async with http_client.session(timeout_seconds=10, raw=True) as session:
        sink = ReplySink(session, ReplySettings(url=url, batch_size=batch_size))
        assert await sink.post(REPLIES[:batch_size]) == Accepted()
    (events,) = received
    assert [(event.id, event.attributes["subject"], event.value()) for event in events] == [
        (reply.id, "Zürich %", {"delayed": 0.5}) for reply in REPLIES[:batch_size]
    ]


async def test_failure_names_the_reply_sink_and_never_its_credentials(ingress: Ingress) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=429, text="password=horse is wrong", headers={"retry-after": "7"})

    url = (await ingress(handle)).replace("://", "://alice:horse@")
    gone = "http://alice:horse@127.0.0.1:9/default"
    async with http_client.session(timeout_seconds=10, raw=True) as session:
        refused = await ReplySink(session, ReplySettings(url=url)).post(REPLIES[:1])
        unreachable = await ReplySink(session, ReplySettings(url=gone)).post(REPLIES[:1])
    assert isinstance(refused, Failure)
    assert isinstance(unreachable, Failure)
    assert (refused.problem.status, refused.retry_after, unreachable.problem.status) == (429, 7.0, 503)
    assert refused.problem.detail.startswith("the reply sink http://")
    assert unreachable.problem.detail.startswith("the reply sink http://")
    assert "horse" not in f"{refused}{unreachable}{ReplySettings(url=url)}"


async def test_redirect_is_not_followed(ingress: Ingress) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"location": "http://127.0.0.1:9/elsewhere"})

    async with http_client.session(timeout_seconds=10, raw=True) as session:
        found = await ReplySink(session, ReplySettings(url=await ingress(handle))).post(REPLIES[:1])
    assert isinstance(found, Failure)
    assert found.problem.status == 307


async def test_stream_without_an_output_topic_commits_what_the_reply_sink_has_accepted(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    ingress: Ingress,
    flight: Flight,
    score: Score,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, jumps = time.time, random.Random(7)  # noqa: S311 the wall clock may do anything
    monkeypatch.setattr(time, "time", lambda: now() + jumps.uniform(-1, 1) * 86_400)
    attempts, accepted, order = Counter[str](), Counter[str](), defaultdict(list)

    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    async def handle(request: web.Request) -> web.Response:
        (event,) = await events_of(request, Mode.BINARY)
        cause = str(event.attributes["causationid"])
        attempts[event.id] += 1
        if cause == "flight-7":
            return web.Response(status=400, text="no flight 7 here")
        if attempts[event.id] == 1 and int(cause.removeprefix("flight-")) % 10 == 0:
            return web.Response(status=503)
        accepted[cause] += 1
        order[event.attributes["partitionkey"]].append(int(cause.removeprefix("flight-")))
        return web.Response(status=202)

    url = (await ingress(handle)).replace("://", "://alice:horse@")
    settings = replace(settings, sink=await serve(answer), output="", reply=ReplySettings(url=url))
    publish(settings.input, [flight(number) for number in range(100)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    (dead,) = await asyncio.to_thread(collect, settings.deadletter, count=1)
    async with asyncio.timeout(60):
        while any(each.records for each in (await asyncio.to_thread(lags, settings)).values()):  # noqa: ASYNC110 the broker sets no event
            await asyncio.sleep(0.1)
    stop.set()
    await running

    expected = {f"flight-{number}" for number in range(100)} - {"flight-7"}
    assert accepted == Counter(expected)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    problem = deadletter.problem_of(dead.headers)
    assert problem.status == 400
    assert "the reply sink http://" in problem.detail
    assert "no flight 7 here" in problem.detail
    assert dict(dead.headers)["ce_knativeerrordest"].decode().endswith("/default")
    assert not any(b"horse" in value for _, value in dead.headers)
    assert deadletter.original_record(dead.key, dead.value, dead.headers).value == b'{"number":7}'


def lags(settings: StreamSettings) -> dict[int, lag.Lag]:
    return lag.lag(cluster_of(settings.broker), settings.group, settings.input)


async def test_killed_worker_loses_no_reply_and_repeats_it_with_the_same_id(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    ingress: Ingress,
    launch: Callable[[StreamSettings], subprocess.Popen[str]],
    flight: Flight,
    score: Score,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids: dict[str, set[str]] = defaultdict(set)
    some = asyncio.Event()

    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    async def handle(request: web.Request) -> web.Response:
        (event,) = await events_of(request, Mode.BINARY)
        ids[str(event.attributes["causationid"])].add(event.id)
        if len(ids) > 50:
            some.set()
            await asyncio.sleep(0.01)
        return web.Response(status=202)

    monkeypatch.setenv("TIDEGATE_STREAM_REPLY_SINK", await ingress(handle))
    settings = replace(settings, sink=await serve(answer))
    publish(settings.input, [flight(number) for number in range(300)])
    first = launch(settings)
    async with asyncio.timeout(60):
        await some.wait()
    first.kill()
    launch(settings)
    scored = await asyncio.to_thread(collect, settings.output, count=300)
    # What is in the topic was posted before, and nothing is in it twice.
    assert Counter(dict(record.headers)["ce_causationid"].decode() for record in scored) == Counter(f"flight-{n}" for n in range(300))
    assert ids.keys() == {f"flight-{number}" for number in range(300)}
    assert all(len(found) == 1 for found in ids.values())
