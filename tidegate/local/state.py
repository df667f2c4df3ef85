"""The file by which other commands find a `tidegate up` that runs: `.tidegate/up.json`."""

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


@dataclass(frozen=True, slots=True)
class Running:
    """`gateway` and `api` are URLs, `kafka` is "embedded" or an address, `started` an RFC 3339 time.

    `kubeconfig` and `token_file` are paths of files that only the owner can read: the API is for those who can.
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
        """What the API wants to be shown. Raises OSError when its file cannot be read."""
        return Path(self.token_file).read_text("ascii")


def read(state_dir: Path) -> Running | None:
    """What runs with this state folder, or None; the file of a process that is gone counts for nothing."""
    try:
        running = Running(**json.loads((state_dir / _FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if is_alive(running.pid) else None


@contextmanager
def claimed(state_dir: Path) -> Iterator[None]:
    """The folder belongs to this process for as long as the context is, even if it dies in it.

    It is readable by its owner alone. Raises AlreadyRunning when it belongs to another process, UnusableFolder when nothing can be written
    there, or others can write there.
    """
    try:
        make_private(state_dir, mark=_LOCK)
        lock = (state_dir / _LOCK).open("w")
    except OSError as error:
        raise UnusableFolder(f"cannot write into {state_dir}: {error.strerror}; choose another --state-dir.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_already(state_dir)) from None
        yield


def _already(state_dir: Path) -> str:
    running = read(state_dir)
    who = f"pid {running.pid}, {running.gateway}" if running else "it is just starting or stopping"
    return f"tidegate is already running here ({who}); stop it with Ctrl-C, or choose another --state-dir."


@contextmanager
def announced(state_dir: Path, running: Running) -> Iterator[None]:
    """The file is there for as long as the context is; readers see all of it or nothing."""
    path = state_dir / _FILE
    write_private(path, json.dumps(asdict(running), indent=2) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
