"""A process that serves one application: its signals, its log."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import sys
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from eventing import logs

# Of a request line and its headers together; proxies allow 8 to 64 KiB.
_MAX_HEAD_BYTES = 64 * 1024
# Longer than those in front (Go's transport keeps idle connections for 90 s): who closes first while a request is on its way loses it.
_KEEP_ALIVE_SECONDS = 120


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself collects headers and trailers without end, waits for them as long, and loses the body of a
    request that offers an upgrade, as those of Java's client do."""

    head_seconds: float = _KEEP_ALIVE_SECONDS
    body_seconds: float = _KEEP_ALIVE_SECONDS
    # Bytes since the last that an application is given: of a head, of trailers, or of what divides a body into chunks.
    _overhead = 0
    _in_head = True
    _held: bytearray  # of a head that has come in part
    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
        self._held = bytearray()
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._overhead = 0
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = 0
        self._in_head = True
        self._wait_no_more()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._held or (self._in_head and not self._overhead):
            data = self._whole_head(data)
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > _MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._too_late is None and (self._held or self._overhead or not self._in_head):
            self._wait(self.head_seconds if self._in_head else self.body_seconds)

    def _whole_head(self, data: bytes) -> bytes:
        """What may be read now: a head without an offer to upgrade, as soon as it is all there, or else nothing."""
        end = data.find(b"\r\n\r\n") if not self._held else -1
        if end < 0:
            seen = len(self._held)
            self._held += data
            end = self._held.find(b"\r\n\r\n", max(0, seen - 3))
            if end < 0 and len(self._held) <= _MAX_HEAD_BYTES and _REQUEST_LINE.match(self._held):
                return b""
            data, self._held = bytes(self._held), bytearray()
        return _without_upgrade(data, end) if data.find(b"pgrade", 0, end) >= 0 else data

    def send_400_response(self, msg: str) -> None:
        self._refuse(_NOT_HTTP)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._too_late = self.loop.call_later(seconds, self._refuse, _TOO_SLOW)

    def _wait_no_more(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


class Corked:
    """A transport that sends what is written in one round of the event loop at once: uvicorn writes head and body of an answer apart,
    and each write of a small one is a system call that costs more than making the answer did."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(written[0] if len(written) == 1 else b"".join(written))


def _without_upgrade(data: bytes, end: int) -> bytes:
    """A server may ignore the offer (RFC 9110, section 7.8); the parser behind this one would not."""
    return _UPGRADE.sub(rb"\r\nx-upgrade:", data[:end]) + data[end:]


def _refusal(status: bytes, sentence: bytes) -> bytes:
    body = b'{"error":"%b"}' % sentence
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_REQUEST_LINE = re.compile(rb"[^\r\n]+ HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_HEAD_TOO_LARGE = _refusal(b"431 Request Header Fields Too Large", b"the headers have more than 65536 bytes; send smaller ones.")
_TOO_SLOW = _refusal(b"408 Request Timeout", b"the request did not arrive in its time; send it faster, or in parts.")
_NOT_HTTP = _refusal(b"400 Bad Request", b"the request is not HTTP/1.1: its head, or how its body is divided, cannot be read.")


def serve(app: Any, listener: socket.socket, *, drain_seconds: float, body_seconds: float = _KEEP_ALIVE_SECONDS) -> int:
    """Serve an ASGI application until SIGTERM or SIGINT; requests in flight finish within `drain_seconds`, and bodies arrive within
    `body_seconds`. Returns the exit status."""
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "auto",
        http=type("Protocol", (BoundedProtocol,), {"body_seconds": body_seconds}),
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,  # type: ignore[arg-type]  # asyncio takes fractions
    )
    # uvicorn raises the signals again once it has drained: having finished in order is no reason to die of them.
    raised: list[int] = []
    server = uvicorn.Server(config)

    def stop(number: int, _: object) -> None:
        raised.append(number)
        server.should_exit = True  # one that comes before uvicorn listens to signals counts as well

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    if signal.SIGINT in raised:
        return 130
    return 0 if server.started else 1


def log_to_stderr(level: str) -> None:
    logs.to_stderr(level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
