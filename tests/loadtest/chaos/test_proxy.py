from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from loadtest.chaos.proxy import Api, Proxy

FETCH = 1


class Echo:
    """A server that sends back what it receives, and notes it."""

    def __init__(self) -> None:
        self.received = b""
        self.port = 0
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            self.received += data
            self.arrived.set()
            writer.write(data)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    found = Proxy(echo.port, frames=True)
    await found.start()
    yield found
    await found.close()


def frame(key: int, body: bytes) -> bytes:
    return struct.pack(">ih", 2 + len(body), key) + body


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_requests_pass_in_whatever_pieces_they_come(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    sent = frame(Api.PRODUCE, b"a" * 100_000) + frame(FETCH, b"b")
    for start in range(0, len(sent), 33_333):
        writer.write(sent[start : start + 33_333])
        await writer.drain()
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_what_stalls_arrives_when_it_heals(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.stall()
    writer.write(frame(FETCH, b"x"))
    other_reader, other = await connect(proxy)
    other.write(frame(FETCH, b"y"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(echo.arrived.wait(), 0.1)
    proxy.heal()
    assert await reader.readexactly(7) == frame(FETCH, b"x")
    assert await other_reader.readexactly(7) == frame(FETCH, b"y")
    writer.close()
    other.close()


async def test_a_held_request_waits_with_those_behind_it_and_other_connections_go_on(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.hold({Api.PRODUCE})
    writer.write(frame(FETCH, b"1") + frame(Api.PRODUCE, b"2") + frame(FETCH, b"3"))
    assert await reader.readexactly(7) == frame(FETCH, b"1")
    other_reader, other = await connect(proxy)
    other.write(frame(FETCH, b"4"))
    assert await other_reader.readexactly(7) == frame(FETCH, b"4")
    assert proxy.held == 1
    assert echo.received == frame(FETCH, b"1") + frame(FETCH, b"4")
    proxy.heal()
    assert await reader.readexactly(14) == frame(Api.PRODUCE, b"2") + frame(FETCH, b"3")
    writer.close()
    other.close()


async def test_what_drops_is_reset_and_new_connections_too(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(frame(FETCH, b"x"))
    await reader.readexactly(7)
    proxy.drop()
    assert await ended(reader)
    other_reader, other = await connect(proxy)
    assert await ended(other_reader)
    proxy.heal()
    healed_reader, healed = await connect(proxy)
    healed.write(frame(FETCH, b"z"))
    assert await healed_reader.readexactly(7) == frame(FETCH, b"z")
    for one in (writer, other, healed):
        one.close()


async def test_what_a_client_held_back_is_lost_when_it_is_gone(proxy: Proxy, echo: Echo) -> None:
    _, writer = await connect(proxy)
    proxy.hold({Api.PRODUCE})
    writer.write(frame(Api.PRODUCE, b"lost"))
    while not proxy.held:  # noqa: ASYNC110 no event says so
        await asyncio.sleep(0)
    proxy.drop()
    proxy.heal()
    reader, other = await connect(proxy)
    other.write(frame(FETCH, b"x"))
    assert await reader.readexactly(7) == frame(FETCH, b"x")
    assert echo.received == frame(FETCH, b"x")
    writer.close()
    other.close()


async def test_a_server_that_is_down_ends_the_connection_and_is_found_again(proxy: Proxy, echo: Echo) -> None:
    down = Proxy(1)
    await down.start()
    reader, writer = await connect(down)
    assert await ended(reader)
    writer.close()
    await down.close()


async def test_a_delayed_request_passes_later(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.delay(0.05)
    writer.write(frame(FETCH, b"x"))
    assert await reader.readexactly(7) == frame(FETCH, b"x")
    writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return not await reader.read(1)
    except ConnectionResetError:
        return True
