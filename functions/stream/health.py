"""Liveness and readiness for the kubelet, and metrics for Prometheus, by a minimal HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from functions.stream.metrics import CONTENT_TYPE, Metrics, exposition

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 8 * 1024
_TEXT = "text/plain; charset=utf-8"
LIVENESS = "/health/liveness"
READINESS = "/health/readiness"
# A kubelet and Prometheus have one or two open. More are from others, and are closed without a response.
_CONNECTIONS = 64


class Answers(Protocol):
    """What responds to probes and scrapes."""

    def answer(self, path: str) -> tuple[HTTPStatus, str]: ...

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        ...


@dataclass(slots=True)
class Health:
    """The reasons, each in a sentence, why the worker is dead or not ready; empty where it is alive and ready."""

    dead: str = ""
    unready: str = "the worker is starting."
    metrics: Metrics = field(default_factory=Metrics)

    def answer(self, path: str) -> tuple[HTTPStatus, str]:
        if path not in {LIVENESS, READINESS}:
            return HTTPStatus.NOT_FOUND, "not found; the routes are /health/liveness, /health/readiness and /metrics."
        problem = self.dead or (self.unready if path == READINESS else "")
        return (HTTPStatus.SERVICE_UNAVAILABLE, problem) if problem else (HTTPStatus.OK, "ok")

    def exposition(self) -> bytes:
        return exposition(self.metrics.collect())


@contextlib.asynccontextmanager
async def serving(health: Answers, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on this socket inside the context: one request for each connection."""
    open_: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            if len(open_) >= _CONNECTIONS:
                return
            open_[writer] = asyncio.current_task()
            try:
                await asyncio.wait_for(_answer(health, reader, writer), _REQUEST_SECONDS)
            except (OSError, EOFError, ValueError, TimeoutError):
                return  # not HTTP, or disconnected
            finally:
                del open_[writer]

    server = await asyncio.start_server(handle, sock=listener, limit=_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        tasks = [task for task in open_.values() if task is not None]
        for writer in open_:
            writer.close()
        if tasks:
            await asyncio.wait(tasks)


async def _answer(health: Answers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    method, target, _ = (await _head(reader)).split(b" ", 2)
    status, content_type, body = _response(health, method, target.partition(b"?")[0].decode("latin-1"))
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + b"connection: close\r\n\r\n" + (b"" if method == b"HEAD" else body))
    await writer.drain()


def _response(health: Answers, method: bytes, path: str) -> tuple[HTTPStatus, str, bytes]:
    if method not in {b"GET", b"HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"method not allowed; use GET or HEAD.\n"
    if path == "/metrics":
        return HTTPStatus.OK, CONTENT_TYPE, health.exposition()
    status, text = health.answer(path)
    return status, _TEXT, f"{text}\n".encode()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read the request line and headers. Raises ValueError if they are too long, EOFError if they are incomplete."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise ValueError("the head of the request is too long.") from None
