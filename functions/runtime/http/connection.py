"""One client connection: uvicorn's protocol with limits for the request's head, slow clients and unread responses."""

from __future__ import annotations

import asyncio
import re
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from common.sockets import has_unread
from functions.runtime.http import heads
from functions.runtime.http.transport import Corked, WriteTimeout

# Longer than the proxies in front (Go's transport keeps idle connections for 90 s): if the server closed first, it
# would lose a request that is on its way.
KEEP_ALIVE_SECONDS = 120
_IDLE_WRITE_SECONDS = 30
# Nearly every response is sent before; interim responses are for long requests only.
_FIRST_PROBE_SECONDS = 0.1
_PROBE_SECONDS = 1.0
# Longer than the clients of this project keep an idle connection (4 s): one of them that is used again is never closed.
LINGER_SECONDS = 5.0
_READ_SECONDS = 0.01
_PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
_REQUEST_LINE = re.compile(rb"[^\r\n]+ HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _Refused(Exception):
    """Stops the parser; the connection keeps the refusal."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits and fixes.

    By itself it collects headers and trailers without a limit and waits for them without a timeout, treats trailers as
    headers, loses the body of a request that offers an upgrade (as Java's client does), loses the response to a client
    that has closed its sending side, and at the end of the server a request that has just arrived.
    """

    head_seconds: float = KEEP_ALIVE_SECONDS
    body_seconds: float = KEEP_ALIVE_SECONDS
    # Until the client has read a whole response.
    write_seconds: float = KEEP_ALIVE_SECONDS
    idle_write_seconds: float = _IDLE_WRITE_SECONDS
    # At the end of the server, a connection without a request ends once it was idle for this long.
    linger_seconds: float = LINGER_SECONDS
    _idle_since = 0.0
    _is_ending = False
    # Bytes since the last one that the application received: of a head, of trailers, or of the framing of chunks.
    _overhead = 0
    _in_head = True
    # Bytes that arrived last, and all since about the end of the last head: a head is measured only if it may be too
    # large.
    _received = 0
    _since_head = 0
    _held: bytearray  # of a head that has arrived in part
    _read_timer: asyncio.TimerHandle | None = None
    _probe: asyncio.TimerHandle | None = None
    _reply_timeout: WriteTimeout
    # The refusal of the head that is being parsed, and one that waits until the requests before it are answered.
    _fault = heads.NOT_HTTP
    _last_response: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Unread bytes pause the writer, which therefore knows when the client has read everything.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
        self._held = bytearray()
        self._idle_since = self.loop.time()
        self._reply_timeout = WriteTimeout(
            transport, self.loop, idle_seconds=min(self.idle_write_seconds, self.write_seconds), total_seconds=self.write_seconds
        )
        self._start_read_timer(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_read_timer()
        self._reply_timeout.resumed(complete=True)
        if self._probe is not None:
            self._probe.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reply_timeout.paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reply_timeout.resumed(complete=not self._is_answering())

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the connection stays open: a client may half-close it and wait for responses."""
        if not self._in_head or not self._is_answering():
            return False
        self.cycle.keep_alive = False
        self._probe = self.loop.call_later(_FIRST_PROBE_SECONDS, self._probe_client)
        return True

    def shutdown(self) -> None:
        """End the connection with its next response, or once its client does not use it.

        A request may be on its way: if the connection ended first, the client would not know whether it was executed.
        """
        self._is_ending = True
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self._end()

    def _end(self) -> None:
        if self._is_answering() or self.transport.is_closing():
            return
        left = self._idle_since + self.linger_seconds - self.loop.time()
        if left > 0:
            self.loop.call_later(left, self._end)
        elif has_unread(self.transport):  # timers come before what has arrived meanwhile
            self.loop.call_later(_READ_SECONDS, self._end)
        else:
            self.transport.close()

    def on_headers_complete(self) -> None:
        fault = heads.fault_of(self.parser.get_http_version(), self.headers)
        if fault is None and self._since_head > heads.MAX_HEAD_BYTES < heads.size_of(self.url, self.headers):
            fault = heads.TOO_LARGE
        if fault is not None:
            self._fault = fault
            raise _Refused
        self._overhead = 0
        self._since_head = self._received
        self._in_head = False
        self._cancel_read_timer()
        super().on_headers_complete()
        if self._is_ending:
            self.cycle.keep_alive = False
        self.headers = []  # the scope keeps them; trailers are not headers (RFC 9110, section 6.5.1)

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = 0
        self._in_head = True
        self._cancel_read_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._idle_since = self.loop.time()
        if not self.flow.write_paused:
            self._reply_timeout.resumed(complete=True)
        if self._last_response is not None and self.cycle.response_complete:
            self._close_with(self._last_response)

    def data_received(self, data: bytes) -> None:
        if self._last_response is not None:
            return
        if self._held or (self._in_head and not self._overhead):
            data = self._whole_head(data)
        self._received = len(data)
        self._since_head += self._received
        self._overhead += self._received
        super().data_received(data)
        if self._overhead > heads.MAX_HEAD_BYTES:
            self._refuse(heads.TOO_LARGE)
        elif self._read_timer is None and (self._held or self._overhead or not self._in_head):
            self._start_read_timer(self.head_seconds if self._in_head else self.body_seconds)

    def _whole_head(self, data: bytes) -> bytes:
        """Return a complete head, without an offer to upgrade, and nothing while the head is incomplete."""
        end = data.find(b"\r\n\r\n") if not self._held else -1
        if end < 0:
            seen = len(self._held)
            self._held += data
            end = self._held.find(b"\r\n\r\n", max(0, seen - 3))
            if end < 0 and len(self._held) <= heads.MAX_HEAD_BYTES and _REQUEST_LINE.match(self._held):
                return b""
            data, self._held = bytes(self._held), bytearray()
        if end > heads.MAX_HEAD_BYTES:
            self._refuse(heads.TOO_LARGE)
            return b""
        return _without_upgrade(data, end) if data.find(b"pgrade", 0, end) >= 0 else data

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault)

    def _refuse(self, answer: bytes) -> None:
        """Refuse the request, after the responses to earlier ones: a client matches responses to requests by order."""
        if self._in_head and self._is_answering():
            self._last_response = self._last_response or answer
        else:
            self._close_with(answer)

    def _close_with(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _probe_client(self) -> None:
        """Send an interim response: the system resets the connection if a half-closed client has gone."""
        if not self._is_answering() or self.cycle.response_started:
            return
        if not self.pipeline and self.cycle.scope["http_version"] == "1.1":
            self.transport.write(_PROCESSING)
        self._probe = self.loop.call_later(_PROBE_SECONDS, self._probe_client)

    def _start_read_timer(self, seconds: float) -> None:
        self._read_timer = self.loop.call_later(seconds, self._refuse, heads.TOO_SLOW)

    def _cancel_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


def _without_upgrade(data: bytes, end: int) -> bytes:
    """Rename the header that offers an upgrade.

    A server may ignore the offer (RFC 9110, section 7.8), which uvicorn's parser does not.
    """
    return _UPGRADE.sub(rb"\r\nx-upgrade:", data[:end]) + data[end:]
