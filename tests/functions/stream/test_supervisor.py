"""Streams that fail beside others, without Kafka: what a run does is given by the test."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest

from common.errors import TidegateError
from eventing.kafka.port import Broker
from functions.stream import supervisor
from functions.stream.health import Health
from functions.stream.input import THREAD_NAME
from functions.stream.report import logger
from functions.stream.settings import StreamSettings
from functions.stream.stall import Stalled
from functions.stream.streams import NamedStream
from functions.stream.supervisor import AllStreamsFailed, StreamsHealth, Supervisor

Behaviour = Callable[[asyncio.Event, Health], Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "_WATCH_SECONDS", 0.005)


class Streams:
    """Streams by their names, each with what its runs do, one after the other; the last one is repeated."""

    def __init__(self, **behaviours: list[Behaviour]) -> None:
        self.runs = dict.fromkeys(behaviours, 0)
        self.health = StreamsHealth(list(behaviours))
        self._behaviours = behaviours
        self.supervisor = Supervisor([_named(name) for name in behaviours], self.health, self._run)

    async def _run(self, settings: StreamSettings, stop: asyncio.Event, health: Health) -> None:
        name, of = settings.input, self._behaviours[settings.input]
        number, self.runs[name] = self.runs[name], self.runs[name] + 1
        await of[min(number, len(of) - 1)](stop, health)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 health is a value
                await asyncio.sleep(0.002)


def _named(name: str) -> NamedStream:
    settings = StreamSettings(
        broker=Broker("kafka:9092"), input=name, output="out", deadletter="dead", group=name, model="m", sink="http://sink/m"
    )
    return NamedStream(name=name, settings=settings)


async def moves(stop: asyncio.Event, health: Health) -> None:
    health.unready = ""
    await stop.wait()


async def waits(stop: asyncio.Event, health: Health) -> None:
    health.unready = "a topic is missing."
    await stop.wait()


def fails(error: Exception) -> Behaviour:
    async def run(stop: asyncio.Event, health: Health) -> None:
        if isinstance(error, Stalled):
            health.dead = str(error)
        raise error

    return run


@pytest.mark.parametrize("error", [TidegateError("Kafka refused a record"), Stalled("records wait"), ValueError("a bug")], ids=type)
async def test_failing_stream_is_restarted_and_stops_no_other(error: Exception) -> None:
    streams, stop = Streams(good=[moves], bad=[fails(error), fails(error), moves]), asyncio.Event()
    running = asyncio.create_task(streams.supervisor.run(stop))
    await streams.until(lambda: streams.runs["bad"] == 3 and streams.health.answer("/health/readiness")[1].startswith("2 of 2"))
    assert streams.runs["good"] == 1
    stop.set()
    await running


async def test_health_names_what_is_not_ready() -> None:
    streams, stop = Streams(good=[moves], topicless=[waits], bad=[fails(TidegateError("no broker answers"))]), asyncio.Event()
    assert streams.health.answer("/health/readiness")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    running = asyncio.create_task(streams.supervisor.run(stop))
    await streams.until(lambda: streams.runs["bad"] > 2)
    status, text = streams.health.answer("/health/readiness")
    lines = text.splitlines()
    assert status == HTTPStatus.OK
    assert lines[:2] == ["1 of 3 streams are ready.", "topicless: a topic is missing."]
    assert lines[2].startswith("bad: it has failed: no broker answers; it is restarted after")
    assert streams.health.answer("/health/readiness/good") == (HTTPStatus.OK, "ok")
    assert streams.health.answer("/health/readiness/topicless") == (HTTPStatus.SERVICE_UNAVAILABLE, "a topic is missing.")
    assert streams.health.answer("/health/readiness/other")[0] == streams.health.answer("/good")[0] == HTTPStatus.NOT_FOUND
    assert streams.health.answer("/health/liveness")[0] == HTTPStatus.OK
    stop.set()
    await running


async def test_process_ends_when_every_stream_has_failed() -> None:
    async def fails_after_the_other(stop: asyncio.Event, health: Health) -> None:
        health.unready = ""
        await streams.until(lambda: streams.runs["a"] > 2)
        raise TidegateError("two")

    streams = Streams(a=[fails(TidegateError("one"))], b=[fails_after_the_other])
    with pytest.raises(AllStreamsFailed, match=r"^no stream of 2 runs; the last one failed with: (one|two)$"):
        await streams.supervisor.run(asyncio.Event())
    assert streams.health.answer("/health/liveness")[0] == HTTPStatus.SERVICE_UNAVAILABLE


async def test_stream_that_was_ready_since_its_failure_counts_as_running() -> None:
    ready_once = asyncio.Event()

    async def ready_then_unready(stop: asyncio.Event, health: Health) -> None:
        health.unready = ""
        await asyncio.sleep(0.05)
        health.unready = "Kafka: the broker is away."
        ready_once.set()
        await stop.wait()

    async def fails_later(stop: asyncio.Event, health: Health) -> None:
        await ready_once.wait()
        raise TidegateError("two")

    streams, stop = Streams(a=[fails(TidegateError("one")), ready_then_unready], b=[fails_later]), asyncio.Event()
    running = asyncio.create_task(streams.supervisor.run(stop))
    await streams.until(lambda: streams.runs["b"] > 3)
    assert not running.done()
    stop.set()
    await running


async def test_process_ends_when_clients_of_stalled_streams_hang() -> None:
    released, threads = threading.Event(), []

    async def hangs(stop: asyncio.Event, health: Health) -> None:
        threads.append(thread := threading.Thread(target=released.wait, name=f"{THREAD_NAME}_0"))
        thread.start()
        raise Stalled("records wait")

    streams = Streams(good=[moves], bad=[hangs])
    try:
        with pytest.raises(Stalled, match=r"clients of \d+ stalled streams hang \(records wait\)"):
            await streams.supervisor.run(asyncio.Event())
        assert streams.supervisor.hanging >= 4
    finally:
        released.set()
        for thread in threads:
            thread.join()


async def test_process_ends_when_the_shared_threads_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "_SPARE_THREADS", 0)
    released = threading.Event()

    async def hangs(stop: asyncio.Event, health: Health) -> None:
        for _ in range(8):
            asyncio.get_running_loop().run_in_executor(None, released.wait)
        raise Stalled("records wait")

    streams = Streams(good=[moves], bad=[hangs])
    try:
        with pytest.raises(Stalled, match=r"the threads that all streams share hang \(records wait\)"):
            await streams.supervisor.run(asyncio.Event())
    finally:
        released.set()


async def test_stop_ends_streams_in_a_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 3600.0)
    streams, stop = Streams(good=[moves], bad=[fails(TidegateError("one"))]), asyncio.Event()
    running = asyncio.create_task(streams.supervisor.run(stop))
    await streams.until(lambda: "it has failed" in streams.health.answer("/health/readiness/bad")[1])
    stop.set()
    async with asyncio.timeout(10):
        await running


async def test_lines_of_the_log_begin_with_the_stream_and_have_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    async def speaks(stop: asyncio.Event, health: Health) -> None:
        health.unready = ""
        await asyncio.to_thread(logger.info, "%d events", 3)
        raise TidegateError("http://me:secret@registry.local does not answer")

    caplog.set_level(logging.INFO)
    streams, stop = Streams(good=[moves], bad=[speaks]), asyncio.Event()
    running = asyncio.create_task(streams.supervisor.run(stop))
    await streams.until(lambda: streams.runs["bad"] > 1)
    stop.set()
    await running
    assert "bad: 3 events" in caplog.messages
    assert any(message.startswith("bad: the stream has failed (http://***@registry.local does not answer)") for message in caplog.messages)
    assert "secret" not in caplog.text
    assert "secret" not in streams.health.answer("/health/readiness")[1]
