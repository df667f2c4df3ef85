from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from common.http_client import session
from functions.router.app import build
from functions.router.settings import Settings
from functions.runtime.knative.client import Access

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
StartServer = Callable[[Handler], Awaitable[int]]
StartRouter = Callable[..., Awaitable[str]]
StartProcess = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, int]]]


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Start a server on loopback that passes every request to one function; returns its port."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler) -> int:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port: int = runner.addresses[0][1]
            return port

        yield start


@pytest.fixture
async def start_router(start_server: StartServer) -> AsyncIterator[StartRouter]:
    """Start a router whose Kubernetes API has these Knative Services, or is this function; returns its URL."""
    async with AsyncExitStack() as stack:

        async def start(*services: dict[str, Any], api: Handler | None = None, **settings: Any) -> str:
            async def listing(request: web.Request) -> web.StreamResponse:
                if "watch" not in request.query:
                    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": list(services)})
                response = web.StreamResponse()
                await response.prepare(request)
                return response

            access = Access(f"http://127.0.0.1:{await start_server(api or listing)}", "default")
            config = uvicorn.Config(build(Settings(**settings), access), lifespan="on", ws="none", log_config=None)
            config.load()
            server = uvicorn.Server(config)
            server.lifespan = config.lifespan_class(config)
            # With the protocol named, since asyncio disables Nagle's algorithm for such sockets only.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            await server.startup([listener])
            stack.push_async_callback(server.shutdown, [listener])
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


@pytest.fixture
async def start_process(start_server: StartServer) -> AsyncIterator[StartProcess]:
    """Start the process of a router whose Kubernetes API has these Knative Services; returns it and its port."""
    async with AsyncExitStack() as stack:

        async def start(*services: dict[str, Any], **environ: str) -> tuple[asyncio.subprocess.Process, int]:
            async def api(request: web.Request) -> web.StreamResponse:
                if "watch" in request.query:
                    response = web.StreamResponse()
                    await response.prepare(request)
                    await asyncio.Event().wait()
                return web.json_response({"metadata": {"resourceVersion": "1"}, "items": list(services)})

            url = f"http://127.0.0.1:{await start_server(api)}"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "functions.router"),
                env={**os.environ, "PORT": "0", "TIDEGATE_KUBERNETES_API": url, **environ},
                stderr=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(_end, process)
            assert process.stderr is not None
            found = re.search(rb"on port (\d+)", await process.stderr.readline())
            assert found
            return process, int(found[1])

        yield start


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.communicate()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with session(timeout_seconds=20) as opened:
        yield opened
