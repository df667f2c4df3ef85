"""A stalled worker ends, and one that waits for its sink does not: with a real broker, and short minutes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from eventing.codecs.kafka import Message
from eventing.event import Event
from functions.stream import guard, stall, startup
from functions.stream.health import Health
from functions.stream.input import Input
from functions.stream.settings import StreamSettings
from functions.stream.stall import StallDetector, Stalled, WorkerState

Publish = Callable[[str, list[Message]], None]
Collect = Callable[..., list[Any]]
Launch = Callable[[StreamSettings], subprocess.Popen[str]]
Flight = Callable[[int], Message]

HANGING = """
import sys, threading
from functions.stream import __main__, guard, input, stall
guard.CHECK_SECONDS, stall._ROUND_SECONDS = 0.2, 1.0
input.Input._poll = lambda *_: threading.Event().wait()
sys.exit(__main__.main())
"""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.05)


async def test_worker_whose_client_returns_nothing_ends_and_is_replaced(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Callable[[Any], Awaitable[str]],
    flight: Flight,
    score: Callable[[Event], Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    settings = replace(settings, sink=await serve(answer))
    health = Health()
    monkeypatch.setattr(stall, "_PARTITION_SECONDS", 0.5)
    publish(settings.input, [Message(b"one key", b"{}", flight(number).headers) for number in range(30)])
    with monkeypatch.context() as patch:
        # Partitions are paused when they are assigned, and stay so.
        patch.setattr(Input, "_pause", lambda *_: None)
        with pytest.raises(
            Stalled, match=rf"partition \d of {settings.input} has been at offset 0 for .* 30 records wait at the broker"
        ) as caught:
            await startup.run(settings, asyncio.Event(), health)
    assert health.answer("/health/liveness") == (503, str(caught.value))

    monkeypatch.undo()
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    assert len(await asyncio.to_thread(collect, settings.output, count=30)) == 30
    stop.set()
    await running


async def test_worker_without_sink_or_records_goes_on(
    settings: StreamSettings, publish: Publish, flight: Flight, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[WorkerState] = []
    check, enough = StallDetector.check, asyncio.Event()

    def check_on(self: StallDetector, state: WorkerState) -> str | None:
        if sum(one.unfinished for one in state.partitions.values()) == 30:
            # Minutes are short from now on: before, the group takes its time.
            monkeypatch.setattr(stall, "_PARTITION_SECONDS", 0.2)
            seen.append(state)
        if len(seen) > 20:
            enough.set()
        return check(self, state)

    monkeypatch.setattr(StallDetector, "check", check_on)
    health, stop = Health(), asyncio.Event()
    publish(settings.input, [flight(number) for number in range(30)])
    running = asyncio.create_task(startup.run(settings, stop, health))
    await asyncio.wait({running, asyncio.create_task(enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert enough.is_set()
    assert (health.answer("/health/liveness")[0], health.answer("/health/readiness")[0]) == (200, 200)
    # The ends are the broker's own, and nothing was finished.
    assert sum(one.end or 0 for one in seen[-1].partitions.values()) == 30
    assert {one.finished for one in seen[-1].partitions.values()} == {0}
    stop.set()
    await running


async def test_process_with_a_hanging_client_is_not_alive_and_exits_with_one_sentence(settings: StreamSettings) -> None:
    port = free_port()
    environ = {
        "TIDEGATE_BOOTSTRAP_SERVERS": settings.broker.bootstrap_servers,
        "TIDEGATE_KAFKA_API_VERSION": "2.3",
        "TIDEGATE_STREAM_INPUT": settings.input,
        "TIDEGATE_STREAM_OUTPUT": settings.output,
        "TIDEGATE_STREAM_STOP_SECONDS": "1",
        "K_SINK": settings.sink,
        "PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HANGING, env=environ, stderr=asyncio.subprocess.PIPE)
    ended = asyncio.create_task(process.communicate())
    statuses: list[int] = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        while not ended.done() and 503 not in statuses:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get("/health/liveness") as found:
                    statuses.append(found.status)
                    sentence = await found.text()
            await asyncio.sleep(0.05)
    _, output = await ended
    assert process.returncode == 1
    # Alive until it is known to hang, and then not alive as long as it still exists.
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert sentence.startswith("the worker has not polled Kafka for 1 s")
    assert b"the worker has not polled Kafka for 1 s; the worker exits so that another one takes over." in output
    assert b"Traceback" not in output


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def test_process_serves_its_health_and_its_metrics(settings: StreamSettings, launch: Launch) -> None:
    port = free_port()
    process = launch(replace(settings, port=port))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        while True:
            try:
                async with session.get("/health/readiness") as ready, session.get("/health/liveness") as live:
                    assert live.status == 200
                    if ready.status == 200:
                        break
            except aiohttp.ClientConnectionError:
                assert process.poll() is None
            await asyncio.sleep(0.1)
        async with session.get("/metrics") as metrics:
            assert metrics.content_type == "text/plain"
            assert f'kafka_consumergroup_group_lag_seconds{{consumergroup="{settings.group}",' in await metrics.text()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 30) == 0
