"""The state file of a running `tidegate up`, by which other commands find it: `.tidegate/up.json`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate.local.apiserver.private import make_private, write_private
from tidegate.local.errors import AlreadyRunning, UnusableFolder

_FILE = "up.json"
_LOCK = "up.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The content of the state file.

    `gateway` and `api` are URLs, `kafka` is "embedded", "apache" or an address, `started` an RFC 3339 time.

    `kubeconfig` and `token_file` are paths of files that only the owner can read, which gives access to the API.
    """

    pid: int
    gateway: str
    api: str
    kubeconfig: str
    bootstrap_servers: str
    kafka_api_version: list[int] | None
    kafka: str
    started: str
    token_file: str = ""

    def token(self) -> str:
        """The token of the API. Raises OSError if its file cannot be read."""
        return Path(self.token_file).read_text("ascii")


def read(state_dir: Path) -> Running | None:
    """The process that runs with this state folder, or None. The file of a process that has exited is ignored."""
    try:
        running = Running(**json.loads((state_dir / _FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if is_alive(running.pid) else None


@contextmanager
def claimed(state_dir: Path) -> Iterator[None]:
    """Lock the folder for as long as the context, and make it readable by its owner only.

    The lock ends with the process.

    Raises AlreadyRunning if another process has locked it, and UnusableFolder if it cannot be written, or if other
    users can write it.
    """
    try:
        make_private(state_dir, mark=_LOCK)
        lock = (state_dir / _LOCK).open("w")
    except OSError as error:
        raise UnusableFolder(f"cannot write into {state_dir}: {error.strerror}", remedy="choose another --state-dir") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _already_running(state_dir) from None
        yield


def _already_running(state_dir: Path) -> AlreadyRunning:
    running = read(state_dir)
    process = f"pid {running.pid}, {running.gateway}" if running else "it is just starting or stopping"
    return AlreadyRunning(f"tidegate is already running here ({process})", remedy="stop it with Ctrl-C, or choose another --state-dir")


@contextmanager
def announced(state_dir: Path, running: Running) -> Iterator[None]:
    """Write the state file for as long as the context, atomically for its readers."""
    path = state_dir / _FILE
    write_private(path, json.dumps(asdict(running), indent=2) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
