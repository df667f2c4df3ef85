"""Child processes in their own sessions: output to a file, orderly stop, exit status and memory."""

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
from tidegate.local.processes.orphan_reaper import OrphanReaper

_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The parameters of a process. `name` identifies it in messages; its output is appended to `log`."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Exit:
    """The exit code of a process, or the negative number of the signal that killed it."""

    code: int

    def __str__(self) -> str:
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


class Process:
    """A child process in its own session, so that a Ctrl-C in the terminal reaches only the parent, which drains."""

    def __init__(self, launch: Launch, popen: subprocess.Popen[bytes], log_start: int) -> None:
        self.launch = launch
        self.spawned = time.monotonic()
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.pid = popen.pid
        self._popen = popen
        self._log_start = log_start
        self._peak_kib = 0

    @classmethod
    def start(cls, launch: Launch, reaper: OrphanReaper) -> Process:
        """Spawn the process. Raises StartFailed if its program or its log cannot be opened."""
        process = cls(launch, *_spawn(launch))
        reaper.add(process.pid)
        arguments = (reaper, asyncio.get_running_loop())
        threading.Thread(target=process._wait, args=arguments, name=f"wait-{process.pid}", daemon=True).start()
        return process

    async def stop(self, grace: float) -> Exit:
        """Send SIGTERM, and after `grace` seconds SIGKILL to the whole group."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await asyncio.shield(self.exited)
        except TimeoutError:
            self.kill()
            return await self.exited

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        if not self.exited.done():
            _kill_group(self.pid)

    def rss_mib(self) -> float | None:
        """Current resident memory in MiB, or None where the system does not report it."""
        return self._memory("VmRSS")

    def peak_rss_mib(self) -> float | None:
        """Largest resident memory in MiB up to the latest call, or None where the system does not report it.

        `ru_maxrss` cannot be used: Linux counts the parent's memory, which a child shares until it executes its
        program.
        """
        peak = self._memory("VmHWM")
        if peak is not None:
            self._peak_kib = max(self._peak_kib, int(peak * 1024))
        return round(self._peak_kib / 1024, 1) if self._peak_kib else None

    def last_line(self) -> str:
        """The last line of output that is not blank, for messages."""
        with self.launch.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return redact(next((line.strip() for line in reversed(lines) if line.strip()), "no output"))

    def _signal(self, number: int) -> None:
        if not self.exited.done():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def _wait(self, reaper: OrphanReaper, loop: asyncio.AbstractEventLoop) -> None:
        code = self._popen.wait()
        # Processes that the process started would outlive it.
        _kill_group(self.pid)
        reaper.remove(self.pid)
        try:
            loop.call_soon_threadsafe(self._set_exited, Exit(code))
        except RuntimeError:
            return  # the loop is closed, so no task waits

    def _set_exited(self, exit_: Exit) -> None:
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
    """The process, and the size of its log before its first output."""
    try:
        launch.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = launch.log.open("ab")
    except OSError as error:
        message = f"{launch.name}: cannot write its log {launch.log}: {error.strerror}"
        raise StartFailed(message, remedy="check the folder and its disk") from None
    try:
        with log:
            start = log.seek(0, os.SEEK_END)
            popen = subprocess.Popen(  # noqa: S603 the command of the user's manifest
                launch.argv,
                env=launch.env,
                cwd=launch.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        message = f"{launch.name}: cannot run {launch.argv[0]}: {error.strerror}"
        raise StartFailed(message, remedy="install it, or fix the container's command") from None
    return popen, start


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
