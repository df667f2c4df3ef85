"""The processes of a server: started, called until they answer, measured, and always ended."""

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
# A server that answers with an error is still loading; constant calls would slow that down.
_REFUSED_SECONDS, _NOT_READY_SECONDS = 0.002, 0.01
_KIB = 1024


class ServerFailed(TidegateError):
    """A server ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running server. `started_ms` is the time from process start to the first response 200."""

    pid: int
    port: int
    started_ms: float

    def resident(self) -> int:
        """Return the VmRSS of all its processes in bytes; a page shared by two counts twice."""
        return self._sum("status", "VmRSS:")

    def proportional(self) -> int:
        """Return the PSS of all its processes in bytes; a page shared by two counts once."""
        return self._sum("smaps_rollup", "Pss:")

    def _sum(self, file: str, field: str) -> int:
        return sum(kibibytes(member / file, field) * _KIB for member in group(self.pid))


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], port: int, request: bytes, log: Path) -> Iterator[Process]:
    """Start a server, yield it once it has answered the request, and end it with the block.

    Its output is appended to the log. Raises ServerFailed.
    """
    with log.open("ab") as output, ExitStack() as held:
        # An interrupt during a start would leave an untracked server.
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
    """Return the complete response to a request on a new connection. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while (found := answer(received)) is None or found.end > len(received):
            data = connection.recv(2**18)
            if not data:
                raise ConnectionResetError("the server closed the connection before its response was complete")
            received += data
        return received


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Defer interrupts to the end of the block. (A blocked signal would remain blocked in the server.)"""
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
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    raise ServerFailed(f"no response with status 200: {lines[-1] if lines else 'no output'} (see {log})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group by SIGTERM, and after a while by SIGKILL."""
    try:
        process.terminate()
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def group(leader: int) -> list[Path]:
    """Return the /proc folders of a process group, which includes the children of a server."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The state, the parent and the group follow the name of the command, which may contain anything.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == leader:
                members.append(folder)
    return members


def kibibytes(path: Path, field: str) -> int:
    """Return a field of a file in /proc; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0
