from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.sockets import listen
from functions.stream import health
from functions.stream.health import Health, serving


@pytest.fixture
def state() -> Health:
    return Health()


@pytest.fixture
async def port(state: Health) -> AsyncIterator[int]:
    listener = listen(0, "127.0.0.1")
    number = listener.getsockname()[1]
    async with serving(state, listener):
        yield number


async def ask(port: int, request: bytes) -> bytes:
    """Return the whole response; empty if the connection was closed before, perhaps before all was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        writer.write(request)
        writer.write_eof()
        return await reader.read()
    return b""


async def status(port: int, path: str) -> int:
    answer = await ask(port, f"GET {path} HTTP/1.1\r\nhost: pod\r\n\r\n".encode())
    return int(answer.split(b" ")[1])


async def test_starting_worker_is_alive_and_not_ready(port: int, state: Health) -> None:
    assert (await status(port, "/health/liveness"), await status(port, "/health/readiness")) == (200, 503)
    state.unready = ""
    assert (await status(port, "/health/liveness"), await status(port, "/health/readiness")) == (200, 200)


async def test_stalled_worker_is_dead_with_a_reason(port: int, state: Health) -> None:
    state.unready, state.dead = "", "partition 3 has stood."
    assert (await status(port, "/health/liveness"), await status(port, "/health/readiness")) == (503, 503)
    assert (await ask(port, b"GET /health/liveness?verbose HTTP/1.1\r\n\r\n")).endswith(
        b"content-length: 23\r\nconnection: close\r\n\r\npartition 3 has stood.\n"
    )
    assert (await ask(port, b"HEAD /health/liveness HTTP/1.0\r\n\r\n")).endswith(b"connection: close\r\n\r\n")


async def test_metrics_are_served_before_the_worker_has_started(port: int) -> None:
    head, _, body = (await ask(port, b"GET /metrics HTTP/1.1\r\naccept: */*\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"content-type: text/plain; version=0.0.4" in head
    samples = {sample.name for family in text_string_to_metric_families(body.decode()) for sample in family.samples}
    assert {"process_resident_memory_bytes", "tidegate_stream_retries_total"} <= samples


async def test_other_paths_and_methods_are_refused(port: int) -> None:
    assert await status(port, "/healthz") == 404
    assert (await ask(port, b"POST /health/liveness HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(
    "request_", [b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /health/liveness HTTP/1.1\r\n" + b"a: b\r\n" * 5000]
)
async def test_malformed_request_gets_no_response_and_does_no_harm(port: int, request_: bytes) -> None:
    assert await ask(port, request_) == b""
    assert await status(port, "/health/liveness") == 200


async def test_silent_and_surplus_connections_are_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_CONNECTIONS", 2)
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 0.5)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    assert await ask(port, b"GET /health/liveness HTTP/1.1\r\n\r\n") == b""
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()
    assert await status(port, "/health/liveness") == 200


async def test_stop_does_not_wait_for_an_idle_connection() -> None:
    listener = listen(0, "127.0.0.1")
    async with serving(Health(), listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        await status(listener.getsockname()[1], "/health/liveness")
    assert await reader.read() == b""
    writer.close()
