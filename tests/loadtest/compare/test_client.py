from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from loadtest.compare.client import measure
from loadtest.compare.load import Load, decode, encode
from loadtest.compare.wire import length, request

_REQUEST = request("/v2", b"{}")
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
_ERROR = b"HTTP/1.1 503 Unavailable\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def _serve(answer: Callable[[int], bytes], seconds: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The port of a server that sends answer(n) to request n in two pieces, and closes the connection if it is empty."""
    asked: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head + await reader.readexactly((length(head) or 0) - len(head)))
                answered = answer(len(asked))
                if not answered:
                    break
                await asyncio.sleep(seconds)
                writer.write(answered[:20])
                await writer.drain()
                writer.write(answered[20:])
        writer.close()
        await writer.wait_closed()

    serving: list[asyncio.Task[None]] = []

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(connected(reader, writer)))

    async with await asyncio.start_server(accepted, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked
    await asyncio.gather(*serving)


@pytest.mark.parametrize("connections", [1, 3])
async def test_load_by_count_sends_that_number_in_turn(connections: int) -> None:
    other = request("/other", b"{}")
    async with _serve(lambda number: _OK) as (port, asked):
        figures = await measure(Load(port, (_REQUEST, other), connections, count=10))
    assert (figures.requests, figures.errors) == (10, 0)
    assert sorted(asked) == sorted([_REQUEST, other] * 5)
    assert 0 < figures.p50 <= figures.p99 <= figures.most


async def test_other_statuses_are_errors_without_a_latency() -> None:
    async with _serve(lambda number: _ERROR if number % 2 else _OK) as (port, _):
        figures = await measure(Load(port, (_REQUEST,), 1, count=10))
    assert (figures.requests, figures.errors) == (5, 5)


async def test_closed_connection_is_an_error_of_its_own_request() -> None:
    async with _serve(lambda number: b"" if number == 1 else _OK) as (port, _):
        figures = await measure(Load(port, (_REQUEST,), 2, count=10))
    assert (figures.requests, figures.errors) == (9, 1)


async def test_load_ends_when_the_server_closes_every_connection() -> None:
    async with _serve(lambda number: b"") as (port, _):
        figures = await measure(Load(port, (_REQUEST,), 2, seconds=0.2, warmup=0.0))
    assert (figures.requests, figures.errors) == (0, 2)


async def test_open_loop_counts_the_wait_for_a_slow_server() -> None:
    # About 40 are due in 0.2 s and one takes 0.02 s, so that the last one waits for most of 0.8 s.
    async with _serve(lambda number: _OK, seconds=0.02) as (port, asked):
        figures = await measure(Load(port, (_REQUEST,), 1, seconds=0.2, warmup=0.0, rate=200))
    assert figures.errors == 0
    assert figures.requests == len(asked) > 20
    assert figures.most > 1e3 * (0.02 * figures.requests - 0.2)


async def test_open_loop_counts_requests_of_closed_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.compare.client._DRAIN_SECONDS", 0.05)
    async with _serve(lambda number: _OK if number <= 3 else b"") as (port, _):
        figures = await measure(Load(port, (_REQUEST,), 4, seconds=0.2, warmup=0.0, rate=200))
    assert figures.requests == 3
    assert figures.requests + figures.errors > 10


def test_load_is_decoded_as_encoded() -> None:
    load = Load(8080, (b"\x00\xff", b"{}"), 8, 2.0, 0.5, rate=100.0)
    assert decode(encode(load)) == load
