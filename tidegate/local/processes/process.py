"""A child process: started in a session of its own, logged to a file, stopped in order, its end and its memory known."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.redaction import redact
from tidegate.local.errors import StartFailed
from tidegate.local.processes.orphan_reaper import Lifeline

_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `name` is what the process is called in messages; its output is appended to `log`."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its exit code, or the signal that ended it."""

    code: int

    def __str__(self) -> str:
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


class Process:
    """The session is its own, so that a Ctrl-C in the terminal reaches only the parent, which drains."""

    def __init__(self, launch: Launch, lifeline: Lifeline) -> None:
        self.launch = launch
        self.spawned = time.monotonic()
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._peak_kib = 0
        self._lifeline = lifeline
        self._popen, self._log_start = _spawn(launch)
        self.pid = self._popen.pid
        lifeline.hold(self.pid)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._reap, args=(loop,), name=f"reap-{self.pid}", daemon=True).start()

    async def stop(self, grace: float) -> Exit:
        """SIGTERM, and SIGKILL for the whole group after `grace` seconds."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await asyncio.shield(self.exited)
        except TimeoutError:
            self.kill()
            return await self.exited

    def kill(self) -> None:
        if not self.exited.done():
            _kill_group(self.pid)

    def rss_mib(self) -> float | None:
        """Resident memory now, or None where the system does not tell."""
        return self._memory("VmRSS")

    def peak_rss_mib(self) -> float | None:
        """The largest resident memory that was seen when anyone asked, or None where the system does not tell.

        `ru_maxrss` is no help: Linux counts the parent's memory, which a child shares until it executes its own program.
        """
        peak = self._memory("VmHWM")
        if peak is not None:
            self._peak_kib = max(self._peak_kib, int(peak * 1024))
        return round(self._peak_kib / 1024, 1) if self._peak_kib else None

    def last_line(self) -> str:
        """The last line of output that says something, for messages."""
        with self.launch.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return redact(next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing"))

    def _signal(self, number: int) -> None:
        if not self.exited.done():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._popen.wait()
        # What the process started itself would outlive it.
        _kill_group(self.pid)
        self._lifeline.release(self.pid)
        try:
            loop.call_soon_threadsafe(self._ended, Exit(code))
        except RuntimeError:
            return  # the loop is closed: nobody waits

    def _ended(self, exit_: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(exit_)

    def _memory(self, field: str) -> float | None:
        if self.exited.done() or sys.platform != "linux":
            return None
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith(field)), None)
        return round(int(line.split()[1]) / 1024, 1) if line else None


def _spawn(launch: Launch) -> tuple[subprocess.Popen[bytes], int]:
    try:
        launch.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = launch.log.open("ab")
    except OSError as error:
        raise StartFailed(f"{launch.name}: cannot write its log {launch.log}: {error.strerror}; see to that folder and its disk") from None
    try:
        with log:
            start = log.tell()
            popen = subprocess.Popen(  # noqa: S603 the manifest's own command, which the user asked for
                launch.argv,
                env=launch.env,
                cwd=launch.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        reason = f"cannot run {launch.argv[0]}: {error.strerror}; install it, or correct the container's command"
        raise StartFailed(f"{launch.name}: {reason}") from None
    return popen, start


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
