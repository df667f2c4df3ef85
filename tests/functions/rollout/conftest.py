"""The API of `tidegate up` with a Knative Service, a sink, and processes of the rollout function between them."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from functions.runtime.knative.client import Access
from tests.functions.rollout.services import Object
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.store import Store

TOKEN = "secret"  # noqa: S105 of the test
ROOT = Path(__file__).parents[3]
Gate = Callable[[web.Request, Callable[[], Awaitable[web.StreamResponse]]], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Api:
    """The API server.

    `gate` is called for each patch, with the function that carries it out. `status_of_events` is the answer to each
    attempt to create an Event, if it is not 0.
    """

    store: Store
    access: Access
    gate: Gate | None = None
    status_of_events: int = 0
    calls: int = 0

    def service(self, name: str = "flights") -> Object:
        return self.store.get("services", name)

    def put(self, item: Object) -> Object:
        """Store a Knative Service as it is."""
        if self.store.find("services", item["metadata"]["name"]):
            self.store.delete("services", item["metadata"]["name"])
        item["metadata"].pop("resourceVersion", None)
        return self.store.create("services", item)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for a change of objects that makes it true."""
        changed = asyncio.Event()
        stop = self.store.subscribe(lambda _: changed.set())
        async with asyncio.timeout(60):
            while not true():
                changed.clear()
                await changed.wait()
        stop()

    @property
    def reasons(self) -> list[str]:
        """The reasons of all Events."""
        return [event["reason"] for event in self.store.list("events")]


@dataclass(slots=True)
class Receiver:
    """The sink: what it has received, and how it answers."""

    url: str = ""
    events: list[Event] = field(default_factory=list)
    status: int = 204
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        (event,) = http.decode(Message(headers, await request.read()), Mode.BINARY)
        async with self.news:
            self.events.append(event)
            self.news.notify_all()
        await self.gate.wait()
        return web.Response(status=self.status)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: len(self.events) >= count)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as found:
        yield found


@pytest.fixture
async def api(stack: AsyncExitStack, tmp_path: Path) -> Api:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    store = Store()
    app = application(store, TOKEN, lambda resource, item: item)
    found = Api(store, Access("", "default", token_file=token))

    @web.middleware
    async def gated(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        found.calls += 1
        if found.status_of_events and request.method == "POST" and request.path.endswith("/events"):
            return web.json_response({"message": "no events"}, status=found.status_of_events)
        if found.gate is None or request.method != "PATCH":
            return await handler(request)
        return await found.gate(request, lambda: handler(request))

    app.middlewares.append(gated)
    server = await stack.enter_async_context(TestServer(app))
    found.access = Access(str(server.make_url("")).rstrip("/"), "default", token_file=token)
    return found


@pytest.fixture
async def sink(stack: AsyncExitStack) -> Receiver:
    found = Receiver()
    found.gate.set()
    app = web.Application()
    app.router.add_post("/", found.handle)
    server = await stack.enter_async_context(TestServer(app))
    found.url = str(server.make_url("/"))
    return found


@dataclass(slots=True)
class Running:
    """A process of the rollout function."""

    process: Process
    url: str
    client: aiohttp.ClientSession

    async def post(self, *events: Event, mode: Mode = Mode.BINARY) -> int:
        """The status of the answer to these events."""
        message = http.encode(events, mode)
        async with self.client.post(self.url, data=message.body, headers=dict(message.headers)) as answer:
            await answer.read()
            return answer.status

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(f"{self.url}{path}") as answer:
            return answer.status, await answer.text()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@pytest.fixture
async def start(stack: AsyncExitStack, api: Api, sink: Receiver) -> Callable[[], Awaitable[Running]]:
    """Starts a process, which is ready when this returns."""
    client = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)))

    async def run() -> Running:
        environ: dict[str, Any] = {
            **os.environ,
            "PORT": "0",
            "TIDEGATE_HOST": "127.0.0.1",
            "TIDEGATE_GATHER_SECONDS": "0",
            "TIDEGATE_KUBERNETES_API": api.access.url,
            "TIDEGATE_KUBERNETES_TOKEN_FILE": str(api.access.token_file),
            "K_SINK": sink.url,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "functions.rollout", cwd=ROOT, env=environ, stderr=asyncio.subprocess.PIPE
        )

        async def stop() -> None:
            if process.returncode is None:
                process.terminate()
            await process.communicate()

        stack.push_async_callback(stop)
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        assert "on port" in line, line
        found = Running(process, f"http://127.0.0.1:{line.rsplit(' ', 1)[1].strip()}", client)
        assert (await found.get("/v2/health/ready"))[0] == 200
        return found

    return run
