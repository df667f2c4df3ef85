from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from functions.runtime.http.connection import BoundedProtocol


class Impatient(BoundedProtocol):
    head_seconds = 0.05
    idle_write_seconds = 0.05
    lost: asyncio.Event
    made: list[Impatient]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


async def application(_: Any, receive: Any, send: Any) -> None:
    """An application that echoes the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(application, lifespan="off", ws="none", log_config=None, access_log=False)
    config.load()
    Impatient.lost, Impatient.made = asyncio.Event(), []
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: Impatient(config, state, {}), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nhost: x\r\nx: "])
async def test_incomplete_head_times_out(sent: bytes, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1")
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    await idle.read()  # the time for a head has passed
    writer.write(b"2")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    idle_writer.close()


async def test_connection_of_a_client_that_reads_nothing_is_closed(port: int) -> None:
    body = bytes(20_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await Impatient.lost.wait()  # the client reads nothing meanwhile
    with contextlib.suppress(ConnectionResetError):
        assert len(await reader.read()) < len(body)
    writer.close()


async def test_request_that_meets_the_end_of_the_server_is_answered(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "head_seconds", 30.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    assert b"connection" not in await reader.readuntil(b"\r\n\r\n")
    (connection,) = Impatient.made
    connection.shutdown()
    writer.write(REQUEST)
    assert b"\r\nconnection: close\r\n" in await reader.read()
    writer.close()


async def test_idle_connection_ends_with_the_server(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "head_seconds", 30.0)
    monkeypatch.setattr(Impatient, "linger_seconds", 0.05)
    unused, unused_writer = await asyncio.open_connection("127.0.0.1", port)
    unused_writer.write(REQUEST[:9])
    used, used_writer = await asyncio.open_connection("127.0.0.1", port)
    used_writer.write(REQUEST)
    await used.readuntil(b"\r\n\r\n")
    assert len(Impatient.made) == 2
    for connection in Impatient.made:
        connection.shutdown()
    assert await used.read() == await unused.read() == b""
    for writer in (used_writer, unused_writer):
        writer.close()


REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
OFFER = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\ncontent-length: 4\r\n\r\nbody"


@pytest.mark.parametrize("split", range(len(b"POST / HTTP/1.1\r\n"), len(OFFER), 3))
async def test_request_with_an_upgrade_keeps_its_body(split: int, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in (OFFER[:split], OFFER[split:]):
        writer.write(part)
        await writer.drain()
        probe, probe_writer = await asyncio.open_connection("127.0.0.1", port)  # once it is answered, the part has been read
        probe_writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await probe.readline()
        probe_writer.close()
    assert (await reader.readuntil(b"body")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
