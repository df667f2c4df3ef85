"""The server process of one application: uvicorn's configuration, signals and log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn

from functions.runtime.http.connection import KEEP_ALIVE_SECONDS, LINGER_SECONDS, BoundedProtocol


class _Server(uvicorn.Server):
    """uvicorn's server, which at its end also serves the connections that wait to be accepted: closing resets them.

    A person who presses Ctrl-C does not wait for connections that are idle.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT:
            self.config.http_protocol_class.linger_seconds = 0.0  # type: ignore[attr-defined]
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        waiting = [connection for listener in sockets or [] for connection in _accepted(listener)]
        for listener in self.servers:
            listener.close()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return protocol


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    listener.setblocking(False)
    with contextlib.suppress(OSError):  # none is left
        while True:
            yield listener.accept()[0]


def serve(
    app: Any,
    listener: socket.socket,
    *,
    drain_seconds: float,
    body_seconds: float = KEEP_ALIVE_SECONDS,
    write_seconds: float | None = None,
) -> int:
    """Serve an ASGI application until SIGTERM or SIGINT, and return the exit status.

    Requests in flight must finish within `drain_seconds` and bodies must arrive within `body_seconds`; clients must
    read a response within `write_seconds`, by default `body_seconds`.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    limits = {
        "body_seconds": body_seconds,
        "write_seconds": body_seconds if write_seconds is None else write_seconds,
        "linger_seconds": min(LINGER_SECONDS, drain_seconds / 2),
    }
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "auto",
        http=type("Protocol", (BoundedProtocol,), limits),
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,  # type: ignore[arg-type]  # asyncio takes fractions
    )
    # uvicorn raises the signals again after draining; the process should exit normally then, not die of them.
    raised: list[int] = []
    server = _Server(config)

    def stop(number: int, _: object) -> None:
        raised.append(number)
        server.should_exit = True  # for a signal that arrives before uvicorn handles signals

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    if signal.SIGINT in raised:
        return 130
    return 0 if server.started else 1
