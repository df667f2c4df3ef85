"""A worker process with several streams, on a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from common import http_client
from common.sockets import listen
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.port import Broker, ConsumedRecord
from functions.stream.settings import StreamSettings

Object = dict[str, Any]
Serve = Callable[[Callable[[list[Event]], Awaitable[list[Event] | web.Response]]], Awaitable[str]]


@asynccontextmanager
async def worker(file: Path, document: Object, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    file.write_text(json.dumps(document))  # noqa: ASYNC240 a few bytes, which are YAML too
    variables = {**os.environ, "TIDEGATE_STREAMS": str(file), "TIDEGATE_HOST": "127.0.0.1", "PORT": "0", **environ}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.stream", env=variables, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def probe(client: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    try:
        async with client.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def test_streams_that_fail_leave_the_others_alone(
    tmp_path: Path,
    broker: Broker,
    settings: StreamSettings,
    serve: Serve,
    score: Callable[[Event], Event],
    publish: Callable[[str, list[Message]], None],
    collect: Callable[..., list[ConsumedRecord]],
    flight: Callable[[int], Message],
) -> None:
    async def scores(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    async def refuses(events: list[Event]) -> web.Response:
        return web.Response(status=400, text="no such input")

    good, refused = settings.input, f"refused-{settings.input}"
    document = {
        "defaults": {"output": settings.output, "deadletter": settings.deadletter, "commit_seconds": 0.2},
        "streams": [
            {"name": "good", "input": good, "sink": await serve(scores)},
            {"name": "refused", "input": refused, "sink": await serve(refuses)},
            {"name": "away", "input": "away", "sink": "/models/flights", "bootstrap_servers": "127.0.0.1:1"},
        ],
    }
    with listen(0, "127.0.0.1") as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environ = {
        "TIDEGATE_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TIDEGATE_KAFKA_API_VERSION": "2.3",
        "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": "5",
        "K_SINK": "http://127.0.0.1:1/",
        "PORT": str(port),
    }
    records = [flight(number) for number in range(40)]
    async with worker(tmp_path / "streams.yaml", document, **environ) as process, http_client.session(timeout_seconds=5) as client:
        await asyncio.to_thread(publish, good, records)
        await asyncio.to_thread(publish, refused, records[:10])
        written = await asyncio.to_thread(collect, settings.output, count=40)
        letters = await asyncio.to_thread(collect, settings.deadletter, count=10)
        assert sorted(record.key or b"" for record in written) == sorted(message.key or b"" for message in records)
        assert len(letters) == 10
        async with asyncio.timeout(30):
            while (found := await probe(client, f"{url}/health/readiness"))[1].partition(" ")[0] != "2":  # noqa: ASYNC110 another process
                await asyncio.sleep(0.05)
        assert found[0] == 200
        assert "away: it has failed: no Kafka broker answers at 127.0.0.1:1" in found[1]
        assert (await probe(client, f"{url}/health/readiness/away"))[0] == 503
        assert (await probe(client, f"{url}/health/liveness"))[0] == 200
        assert 'tidegate_stream_records_total{result="scored",stream="good"} 40.0' in (await probe(client, f"{url}/metrics"))[1]
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0
    assert b"good: stopped after 40 scored and 0 dead-lettered events" in said
    assert b"refused: stopped after 0 scored and 10 dead-lettered events" in said


async def test_process_ends_with_one_sentence_when_every_stream_fails(tmp_path: Path) -> None:
    document = {"defaults": {"bootstrap_servers": "127.0.0.1:1", "output": "out"}, "streams": [{"input": "a"}, {"input": "b"}]}
    async with worker(tmp_path / "streams.yaml", document, K_SINK="http://127.0.0.1:1/m") as process:
        _, said = await process.communicate()
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith(b"tidegate: no stream of 2 runs; the last one failed with: no Kafka broker answers at 127.0.0.1:1")


async def test_invalid_file_ends_the_process_with_one_sentence(tmp_path: Path) -> None:
    async with worker(tmp_path / "streams.yaml", {"streams": [{"input": "a", "outputs": "b"}]}) as process:
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"tidegate: stream 'a' of ")
    assert b"has the unknown key 'outputs'" in said


async def test_pod_whose_streams_need_a_sink_waits_to_be_replaced(tmp_path: Path) -> None:
    document = {"defaults": {"bootstrap_servers": "127.0.0.1:1", "output": "out"}, "streams": [{"input": "a", "sink": "/models/a"}]}
    async with worker(tmp_path / "streams.yaml", document, KUBERNETES_SERVICE_HOST="10.0.0.1") as process:
        assert process.stderr is not None
        assert b"K_SINK is not set yet" in await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
