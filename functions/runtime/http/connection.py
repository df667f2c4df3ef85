"""One connection of a client: uvicorn's protocol, with bounds for what comes and for what is not read."""

from __future__ import annotations

import asyncio
import re
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions.runtime.http import heads
from functions.runtime.http.transport import Corked, WriteTimeout

# Longer than those in front (Go's transport keeps idle connections for 90 s): who closes first while a request is on its way loses it.
KEEP_ALIVE_SECONDS = 120
_IDLE_WRITE_SECONDS = 30
# Nearly every answer is there before; an interim response is only for who waits long.
_FIRST_PROBE_SECONDS = 0.1
_PROBE_SECONDS = 1.0
_STILL_AT_IT = b"HTTP/1.1 102 Processing\r\n\r\n"
_REQUEST_LINE = re.compile(rb"[^\r\n]+ HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _Refused(Exception):
    """The parser is to stop here; the answer is in the connection."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself collects headers and trailers without end, waits for them as long, takes trailers for headers,
    loses the body of a request that offers an upgrade, as those of Java's client do, and the reply to who has sent all that he will."""

    head_seconds: float = KEEP_ALIVE_SECONDS
    body_seconds: float = KEEP_ALIVE_SECONDS
    # Of an answer, until the client has taken all of it.
    write_seconds: float = KEEP_ALIVE_SECONDS
    idle_write_seconds: float = _IDLE_WRITE_SECONDS
    # Bytes since the last that an application is given: of a head, of trailers, or of what divides a body into chunks.
    _overhead = 0
    _in_head = True
    # Bytes that came last, and all since the end of the last head, or a little before: a head is measured only if it may be too large.
    _came = 0
    _since_head = 0
    _held: bytearray  # of a head that has come in part
    _too_late: asyncio.TimerHandle | None = None
    _probe: asyncio.TimerHandle | None = None
    _reply_timeout: WriteTimeout
    # Why the head that is being parsed is refused, and the refusal that waits until the requests before it are answered.
    _fault = heads.NOT_HTTP
    _last_words: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # All that the client has not taken yet pauses the writer, who so knows when it has everything.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
        self._held = bytearray()
        self._reply_timeout = WriteTimeout(
            transport, self.loop, idle_seconds=min(self.idle_write_seconds, self.write_seconds), total_seconds=self.write_seconds
        )
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
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
        """Whether the connection stays open: a client that has sent whole requests may end its side and wait for the replies."""
        if not self._in_head or not self._is_answering():
            return False
        self.cycle.keep_alive = False
        self._probe = self.loop.call_later(_FIRST_PROBE_SECONDS, self._probe_client)
        return True

    def on_headers_complete(self) -> None:
        fault = heads.fault_of(self.parser.get_http_version(), self.headers)
        if fault is None and self._since_head > heads.MAX_HEAD_BYTES < heads.size_of(self.url, self.headers):
            fault = heads.TOO_LARGE
        if fault is not None:
            self._fault = fault
            raise _Refused
        self._overhead = 0
        self._since_head = self._came
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()
        self.headers = []  # trailers, which come next, are not headers (RFC 9110, section 6.5.1); the scope keeps those

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = 0
        self._in_head = True
        self._wait_no_more()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.flow.write_paused:
            self._reply_timeout.resumed(complete=True)
        if self._last_words is not None and self.cycle.response_complete:
            self._close_with(self._last_words)

    def data_received(self, data: bytes) -> None:
        if self._last_words is not None:
            return
        if self._held or (self._in_head and not self._overhead):
            data = self._whole_head(data)
        self._came = len(data)
        self._since_head += self._came
        self._overhead += self._came
        super().data_received(data)
        if self._overhead > heads.MAX_HEAD_BYTES:
            self._refuse(heads.TOO_LARGE)
        elif self._too_late is None and (self._held or self._overhead or not self._in_head):
            self._wait(self.head_seconds if self._in_head else self.body_seconds)

    def _whole_head(self, data: bytes) -> bytes:
        """What may be read now: a head without an offer to upgrade, as soon as it is all there, or else nothing."""
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
        """Once the requests before it are answered: the client takes the next answer for that of the first."""
        if self._in_head and self._is_answering():
            self._last_words = self._last_words or answer
        else:
            self._close_with(answer)

    def _close_with(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _probe_client(self) -> None:
        """Only an answer shows whether a client that has ended its side still listens: the system resets the connection if not."""
        if not self._is_answering() or self.cycle.response_started:
            return
        if not self.pipeline and self.cycle.scope["http_version"] == "1.1":
            self.transport.write(_STILL_AT_IT)
        self._probe = self.loop.call_later(_PROBE_SECONDS, self._probe_client)

    def _wait(self, seconds: float) -> None:
        self._too_late = self.loop.call_later(seconds, self._refuse, heads.TOO_SLOW)

    def _wait_no_more(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


def _without_upgrade(data: bytes, end: int) -> bytes:
    """A server may ignore the offer (RFC 9110, section 7.8); the parser behind this one would not."""
    return _UPGRADE.sub(rb"\r\nx-upgrade:", data[:end]) + data[end:]
