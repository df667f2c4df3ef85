"""A process that serves one application: its socket, its signals, its log."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from eventing.errors import TidegateError


class PortTaken(TidegateError):
    """Another process listens there."""


def listen(port: int, host: str = "0.0.0.0") -> socket.socket:  # noqa: S104 a container is reached from outside
    """A listening socket. Raises PortTaken; port 0 takes a free one."""
    # The protocol is named so that asyncio recognises TCP and turns Nagle's delay off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} is taken by another process; stop it, or choose another port.") from None
        raise PortTaken(f"cannot listen on port {port}: {error.strerror}; choose another port.") from None
    listener.listen(2048)
    return listener


def serve(app: ASGIApp, listener: socket.socket, *, drain_seconds: float) -> int:
    """Serve until SIGTERM or SIGINT; requests in flight finish within `drain_seconds`. Returns the exit status."""
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "auto",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        date_header=False,
        log_config=None,
        timeout_graceful_shutdown=int(drain_seconds),
    )
    # uvicorn raises the signal again once it has drained: having finished in order is no reason to die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0 if server.started else 1


def log_to_stderr(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
