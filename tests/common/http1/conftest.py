from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import uvloop

from common.http1.pool import Pool

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
StartPeer = Callable[[Speak], Awaitable[str]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of the standard library, and the one of the router's process: their transports differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_peer() -> AsyncIterator[StartPeer]:
    """Start a server that speaks as a function says on each connection; returns its URL. Connections end with it."""
    async with AsyncExitStack() as stack:
        connections: set[asyncio.Task[None]] = set()

        async def start(speak: Speak) -> str:
            async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                connections.add(task)
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await speak(reader, writer)
                writer.close()

            server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()
