"""Whether the gateway's port is free, and who has it if not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tidegate.doctor.finding import Finding, Level, ok
from tidegate.local.state import Running

_PROC = Path("/proc")
_LISTENS = "0A"  # the state of a socket in /proc/net/tcp
_HOST = "127.0.0.1"


def check(port: int, running: Running | None, needed: bool) -> Finding:
    """`needed`: without it, a port that is taken is worth a note only."""
    subject = f"port {port}"
    if running and running.gateway.endswith(f":{port}"):
        return ok(subject, f"`tidegate up` (pid {running.pid}) is running and serves it")
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does: closed connections do not count
            listener.bind((_HOST, port))
    except PermissionError:
        return Finding(_level(needed), subject, "may not be used by this user; ports below 1024 are the administrator's.", _elsewhere())
    except OSError:
        who = holder(port)
        taken = f"is taken by {who}." if who else "is taken by a process that this user cannot see."
        return Finding(_level(needed), subject, taken, f"end that process, or {_elsewhere()}")
    return ok(subject, "is free")


def holder(port: int) -> str | None:
    """The command and the id of the process that listens on the port, where the system tells (Linux, processes of this user)."""
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
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _LISTENS:
                yield f"socket:[{fields[9]}]"


def _open_files(process: Path) -> Iterator[str]:
    try:
        for descriptor in (process / "fd").iterdir():
            yield os.readlink(descriptor)  # noqa: PTH115 a socket's link names no path
    except OSError:  # it is another user's, or has just ended
        return
