"""A process that serves one application: its signals, its log."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import uvicorn
from starlette.types import ASGIApp


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
