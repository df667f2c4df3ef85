"""The gateway's port: free, or taken by a process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tidegate.doctor.finding import Finding, Level, ok
from tidegate.local.state import Running

_PROC = Path("/proc")
_LISTENING = "0A"  # a state of a socket in /proc/net/tcp
_HOST = "127.0.0.1"


def check(port: int, running: Running | None, *, needed: bool) -> Finding:
    """Check that `tidegate up` could listen on the port. If that is not `needed`, a taken port is a note."""
    subject = f"port {port}"
    if running and running.gateway.endswith(f":{port}"):
        return ok(subject, f"`tidegate up` (pid {running.pid}) is running and serves it")
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does: closed connections do not count
            listener.bind((_HOST, port))
    except PermissionError:
        return Finding(_level(needed), subject, "not allowed for this user; ports below 1024 need root.", _elsewhere())
    except OSError:
        process = listener_on(port)
        taken = f"is taken by {process}." if process else "is taken by a process of another user."
        return Finding(_level(needed), subject, taken, f"stop that process, or {_elsewhere()}")
    return ok(subject, "is free")


def listener_on(port: int) -> str | None:
    """Command and id of the process that listens on the port; None if unknown, as for another user's process."""
    sockets = set(_sockets(port))
    for process in _PROC.glob("[0-9]*"):
        if sockets & set(_open_files(process)):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            return f"`{' '.join(words).strip()[:100]}` (pid {process.name})"
    return None


def _level(needed: bool) -> Level:
    return Level.ERROR if needed else Level.NOTE


def _elsewhere() -> str:
    return "choose another port: tidegate up --port 0"


def _sockets(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _LISTENING:
                yield f"socket:[{fields[9]}]"


def _open_files(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            yield os.readlink(descriptor)  # noqa: PTH115 the link of a socket has no path
    except OSError:  # another user's process, or one that has just exited
        return
