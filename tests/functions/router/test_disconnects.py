"""Callers that disconnect: the calls for them end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.functions.router.flights import INFER, batch, rows, service

if TYPE_CHECKING:
    from tests.functions.router.conftest import Handler, StartProcess, StartRouter, StartServer

BATCH_TYPE = b"content-type: application/cloudevents-batch+json\r\n"


def request(path: str, body: bytes, head: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n" % (path.encode(), head, len(body)) + body


def waiting() -> tuple[Handler, asyncio.Semaphore, asyncio.Semaphore]:
    """A revision that never answers; a permit for each call that has begun, and for each that has ended."""
    begun, ended = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def revision(request: web.Request) -> web.StreamResponse:
        begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            ended.release()
        raise AssertionError

    return revision, begun, ended


@pytest.mark.parametrize(
    ("sent", "calls"),
    [
        (request(INFER, b"{}"), 1),
        (request(INFER, rows(50)), 2),
        (request("/models/flights", batch(50), BATCH_TYPE), 2),
        (request("/v1/models/flights:predict", b"{}"), 1),
    ],
    ids=["request", "rows", "batch", "v1"],
)
async def test_calls_end_when_their_caller_disconnects(
    sent: bytes, calls: int, start_server: StartServer, start_router: StartRouter
) -> None:
    revision, begun, ended = waiting()
    app = web.Application()
    app.router.add_post("/{path:.*}", revision)
    # With cancellation of handlers, by which the revision notices the end of its call.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = await start_router(service(runner.addresses[0][1], "v1", "v2"))
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    for _ in range(calls):
        await begun.acquire()
    writer.transport.abort()
    for _ in range(calls):
        await ended.acquire()
    await runner.cleanup()


async def test_a_stalled_reply_ends_when_its_caller_disconnects(start_server: StartServer, start_router: StartRouter) -> None:
    ended = asyncio.Event()

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + bytes(100_000))
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(stalls, "127.0.0.1", 0) as server:
        url = await start_router(service(server.sockets[0].getsockname()[1], "v1"))
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(INFER, b""))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await ended.wait()


async def test_a_caller_that_half_closes_gets_its_reply(start_server: StartServer, start_process: StartProcess) -> None:
    watched = asyncio.Event()

    async def revision(_: web.Request) -> web.StreamResponse:
        await watched.wait()
        return web.json_response({"done": True})

    _, port = await start_process(service(await start_server(revision), "v1"), TIDEGATE_HOST="127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(INFER, b"{}"))
    writer.write_eof()
    # The interim responses show that the router has looked at the connection, several times.
    for _ in range(2):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 102 Processing\r\n\r\n"
    watched.set()
    assert await reader.readuntil(b"}") != b""
    writer.close()
