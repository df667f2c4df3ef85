"""A server's processes: started, asked until they answer, measured, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import TidegateError
from loadtest.compare.wire import answer

_START_SECONDS = 90.0
_STOP_SECONDS = 15.0
# A server that answers, but with an error, is still loading: asking it all the time would slow that down.
_REFUSED_SECONDS, _NOT_READY_SECONDS = 0.002, 0.01
_KIB = 1024


class ServerFailed(TidegateError):
    """A server ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server that answers. `started_ms` is from its process's start to its first answer with 200."""

    pid: int
    port: int
    started_ms: float

    def resident(self) -> int:
        """Bytes: VmRSS of all its processes; a page that two of them share counts twice."""
        return self._sum("status", "VmRSS:")

    def proportional(self) -> int:
        """Bytes: PSS of all its processes; a page that two of them share counts once."""
        return self._sum("smaps_rollup", "Pss:")

    def _sum(self, file: str, field: str) -> int:
        return sum(_kibibytes(member / file, field) * _KIB for member in _group(self.pid))


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], port: int, request: bytes, log: Path) -> Iterator[Process]:
    """From its start until it has answered the request, and until the block ends; its words are added to the log. Raises ServerFailed."""
    with log.open("ab") as output, ExitStack() as held:
        # An interrupt in the middle of a start would leave a server that nobody knows of.
        held.enter_context(_interrupts_held())
        began = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            command,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            held.close()
            _first_answer(process, port, request, log)
            yield Process(process.pid, port, 1e3 * (time.perf_counter() - began))
        finally:
            _stop(process)


def exchange(port: int, request: bytes) -> bytes:
    """The whole answer to one request on a connection of its own. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while (found := answer(received)) is None or found.end > len(received):
            data = connection.recv(2**18)
            if not data:
                raise ConnectionResetError("the server closed the connection before it had answered")
            received += data
        return received


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """What comes in the meantime is raised at the end. (A blocked signal would stay blocked in the server.)"""
    came: list[int] = []
    before = [(number, signal.signal(number, lambda number, _: came.append(number))) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _first_answer(process: subprocess.Popen[bytes], port: int, request: bytes, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            found = answer(exchange(port, request))
        except OSError:
            time.sleep(_REFUSED_SECONDS)
            continue
        if found and found.status == 200:
            return
        time.sleep(_NOT_READY_SECONDS)
    said = log.read_text("utf-8", "replace").strip().splitlines()
    raise ServerFailed(f"it did not answer with 200: {said[-1] if said else 'it said nothing'} (all of it is in {log})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM, and what is left of its processes after a while by SIGKILL."""
    try:
        process.terminate()
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group(leader: int) -> list[Path]:
    """The /proc folders of a process group: the processes that a server starts stay in its group."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the command's name, which may contain anything, come the state, the parent and the group.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == leader:
                members.append(folder)
    return members


def _kibibytes(path: Path, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0
