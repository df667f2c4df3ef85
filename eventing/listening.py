"""A listening socket, bound before anything else is started, so that a port that is taken is known at once."""

from __future__ import annotations

import errno
import socket

from eventing.errors import TidegateError

_BACKLOG = 2048


class PortTaken(TidegateError):
    """Another process listens there, or nobody may."""


def listen(port: int, host: str = "0.0.0.0", *, option: str = "PORT") -> socket.socket:  # noqa: S104 a container is reached from outside
    """A listening socket; port 0 takes a free one. `option` is what a person changes to choose another. Raises PortTaken."""
    # The protocol is named so that asyncio recognises TCP and turns Nagle's delay off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} of {host} is taken by another process; stop it, or choose another port ({option}).") from None
        raise PortTaken(f"cannot listen on port {port} of {host}: {error.strerror}; choose another port ({option}).") from None
    return listener
