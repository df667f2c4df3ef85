"""Events survive a SIGKILL of `tidegate up`, on Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from tests.tidegate.local.eventing.harness import Sink, event, respond, until
from tidegate.local.eventing.delivery.transport import HttpPost, PostFailed

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

StartSink = Callable[..., Awaitable[Sink]]
Object = dict[str, Any]
KILLS = 3


@asynccontextmanager
async def up(folder: Path, manifests: Path, bootstrap_servers: str) -> AsyncIterator[str]:
    """`tidegate up` as a process, and its ingress of Brokers; it is killed at the end."""
    state = folder / "up.json"
    state.unlink(missing_ok=True)
    command = ["-m", "tidegate", "up", str(manifests), "--port", "0", "--state-dir", str(folder), "--bootstrap-servers", bootstrap_servers]
    with (folder.parent / "up.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=log, stderr=subprocess.STDOUT)
    try:
        await until(lambda: state.exists() or process.returncode is not None)
        port = json.loads(state.read_text())["gateway"].rpartition(":")[2]
        yield f"http://broker-ingress.localhost:{port}"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def manifests(folder: Path, name: str, url: str, order: str) -> Path:
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}}
    trigger = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": name, "annotations": {"kafka.eventing.knative.dev/delivery.order": order}},
        "spec": {"broker": name, "subscriber": {"uri": url}, "delivery": {"retry": 5, "backoffDelay": "PT0.05S"}},
    }
    path = folder / "manifests.yaml"
    path.write_text("\n---\n".join(json.dumps(item) for item in (broker, trigger)))
    return path


@pytest.mark.parametrize("order", ["ordered", "unordered"])
async def test_each_accepted_event_is_delivered_across_kills(
    apache: Apache, sink: StartSink, client: Any, tmp_path: Path, order: str
) -> None:
    finished: set[str] = set()
    failed: set[str] = set()
    gate = asyncio.Event()
    gate.set()

    async def answer(found: Event) -> web.Response:
        await gate.wait()
        if found.id.endswith("7") and found.id not in failed:
            failed.add(found.id)
            return respond(status=503)
        finished.add(found.id)
        return respond()

    received = await sink(answer)
    path, post = manifests(tmp_path, order, received.url, order), HttpPost(client)
    folder = tmp_path / "state"
    accepted: list[str] = []
    numbers = iter(range(10**6))

    async def send(ingress: str, count: int) -> None:
        """Send events until that many more are accepted."""
        goal = len(accepted) + count
        while len(accepted) < goal:
            sent = event(next(numbers), partitionkey=f"k{len(accepted) % 20}")
            try:
                found = await post(f"{ingress}/default/{order}", http.encode([sent], Mode.BINARY))
            except PostFailed:
                return  # killed
            if found.status == 202:
                accepted.append(sent.id)
            await asyncio.sleep(0)

    async with up(folder, path, apache.at("PLAINTEXT")) as ingress:
        while not finished:  # the Trigger sees later events only
            await send(ingress, 1)
            await asyncio.sleep(0.05)
        accepted[:] = finished
    for _ in range(KILLS):
        async with up(folder, path, apache.at("PLAINTEXT")) as ingress:
            sending = [asyncio.create_task(send(ingress, 10**6)) for _ in range(8)]
            await received.wait(len(received.events) + 200)
        await asyncio.gather(*sending)
    async with up(folder, path, apache.at("PLAINTEXT")) as ingress:
        gate.clear()
        await send(ingress, 50)
    gate.set()
    assert not set(accepted) <= finished

    async with up(folder, path, apache.at("PLAINTEXT")):
        await until(lambda: set(accepted) <= finished)
