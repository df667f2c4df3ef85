from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tidegate.local.objects.podspec import Probe
from tidegate.local.objects.validation import parse
from tidegate.local.processes.probe import Readiness, is_ready, readiness_of, wait_until_ready


@asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that sends one response per connection, and then always the last one."""
    left, requests = list(answers), []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], requests


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\n\r\n", True),
        (b"HTTP/1.1 503 Not yet\r\n\r\n", False),
        (b"", False),
        (b"nonsense\r\n", False),
        (b"endless" * 20_000, False),
    ],
)
async def test_response_decides_readiness(answer: bytes, ready: bool) -> None:
    async with server(answer) as (port, requests):
        assert await is_ready(Readiness(port, "/ready", (("X-A", "b"),))) is ready
    assert requests[0].startswith(b"GET /ready HTTP/1.1\r\n")
    assert b"User-Agent: kube-probe/" in requests[0]
    assert b"X-A: b" in requests[0]


async def test_probing_continues_until_ready() -> None:
    async with server(b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n") as (port, requests):
        await wait_until_ready(Readiness(port, "/ready"))
    assert len(requests) == 3


async def test_open_port_is_ready_without_a_path() -> None:
    async with server(b"") as (port, _):
        assert await is_ready(Readiness(port))
    assert not await is_ready(Readiness(port))


def test_port_of_the_replica_replaces_that_of_the_manifest() -> None:
    probe = parse(Probe, {"httpGet": {"path": "/ready", "port": 8080}, "timeoutSeconds": 2})
    assert readiness_of(probe, 1234) == Readiness(1234, "/ready", timeout=2)
    assert readiness_of(None, 1234) == Readiness(1234)
