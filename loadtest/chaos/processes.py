"""Processes that are killed, stopped and restarted, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import TidegateError

_TICK_SECONDS = 0.05


class ProcessFailed(TidegateError):
    """A process ended, or was not ready in time."""


class Process:
    """A process with one command, which may run many times; its output is appended to a log."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._logged = 0
        self.wanted = False
        """Whether it should run now: an end is then its own doing."""

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            # A session of its own: an interrupt from the keyboard ends it in order, by this process.
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                env=os.environ | self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wanted = True

    def kill(self) -> None:
        self._end(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """Let it not run, without its knowledge, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    async def terminate(self, timeout_seconds: float) -> bool:
        """End it in order; after the time-out, by SIGKILL. Return whether it ended in time, with status 0."""
        self._end(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 no event says so
                    await asyncio.sleep(_TICK_SECONDS)
        except TimeoutError:
            self.kill()
            return False
        return not self.status

    async def logged(self, text: str, timeout_seconds: float) -> None:
        """Wait until it has written a text since its start. Raises ProcessFailed."""
        deadline = time.monotonic() + timeout_seconds
        while text not in self._said():
            if self.status is not None:
                raise ProcessFailed(f"{self.name} ended with {self.status}: {self.last_line()} (see {self.log})")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} is not ready after {timeout_seconds:g} s: {self.last_line()} (see {self.log})")
            await asyncio.sleep(_TICK_SECONDS)

    def last_line(self) -> str:
        lines = self._said().strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def _said(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._logged)
            return log.read().decode(errors="replace")

    def _end(self, number: signal.Signals) -> None:
        self.wanted = False
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
