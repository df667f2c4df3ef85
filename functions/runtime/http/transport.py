"""Writing to a connection: with few system calls, and with a timeout for clients that do not read."""

from __future__ import annotations

import asyncio
from typing import Any

# From this size on, data are sent at once: joining gains nothing, and the writer waits for the client to read them.
_LARGE_BYTES = 32 * 1024


class Corked:
    """A transport that joins the writes of one round of the event loop into one.

    uvicorn writes head and body of a response separately, and for a small response each write is a system call that
    costs more than computing the response.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if len(data) >= _LARGE_BYTES:
            self._written.append(data)
            self._flush()
        elif data:
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
        if not written or self._transport.is_closing():
            return
        if len(written) == 1:
            self._transport.write(written[0])
        elif len(written[-1]) < _LARGE_BYTES:
            self._transport.write(b"".join(written))
        else:
            # A large response is not copied. It is not given to writelines() either: in Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1,
            # that of asyncio's own transport never pauses the writer (CVE-2024-12254).
            self._transport.write(b"".join(written[:-1]))
            self._transport.write(written[-1])


class WriteTimeout:
    """Aborts a connection whose client does not read.

    It may read nothing for `idle_seconds`, and take `total_seconds` for a response.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, idle_seconds: float, total_seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._total_seconds = total_seconds
        self._until: float | None = None
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def paused(self) -> None:
        """Start the timeout: written data wait for the client to read."""
        if self._until is None:
            self._until = self._loop.time() + self._total_seconds
        self._arm(self._until)

    def resumed(self, *, complete: bool) -> None:
        """Stop the timeout: the client has read all written data, which are the whole response if `complete`."""
        if complete:
            self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, until: float) -> None:
        self._left = self._transport.get_write_buffer_size()
        wait = min(self._idle_seconds, max(0.0, until - self._loop.time()))
        self._timer = self._loop.call_later(wait, self._check, until)

    def _check(self, until: float) -> None:
        if self._loop.time() >= until or self._transport.get_write_buffer_size() >= self._left:
            self._transport.abort()
        else:
            self._arm(until)
