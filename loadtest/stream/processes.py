"""The process of a way with all that it starts: measured, killed, and always ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.errors import TidegateError
from loadtest.compare.processes import cpu_seconds, group, kibibytes

_STOP_SECONDS = 20.0


class WayFailed(TidegateError):
    """A way has ended, or has written nothing in time."""


class Running:
    """A process group. `began` is when it was started, by the wall clock, in seconds."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._command, self._environ, self._log = list(command), dict(environ), log
        self.began = 0.0
        self._process = self._started()

    def cpu(self) -> float:
        """Return the seconds of processor time of all its processes."""
        found = 0.0
        for folder in group(self._process.pid):
            with contextlib.suppress(OSError):
                found += cpu_seconds(int(folder.name))
        return found

    def resident(self) -> int:
        """Return the resident bytes of all its processes; a page shared by two counts twice."""
        return self._memory("VmRSS:")

    def peak(self) -> int:
        """Return the sum of the most resident bytes of each of its processes."""
        return self._memory("VmHWM:")

    def _memory(self, field: str) -> int:
        return sum(kibibytes(folder / "status", field) for folder in group(self._process.pid)) * 1024

    def check(self) -> None:
        """Raises WayFailed if it has ended."""
        if (status := self._process.poll()) is not None:
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            raise WayFailed(f"it ended with {status}: {lines[-1] if lines else 'no output'} (see {self._log})")

    def kill_and_restart(self) -> None:
        """End it by SIGKILL, with all that it has started, and start it again at once."""
        self._kill()
        self._process = self._started()

    def stop(self) -> None:
        """End it by SIGTERM, and after a while by SIGKILL."""
        try:
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            self.began = time.time()
            return subprocess.Popen(  # noqa: S603
                self._command,
                env=os.environ | self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # an interrupt from the keyboard is for this process, which ends the others
            )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Start a way with its output appended to a log, and end it with the block."""
    running = Running(command, environ, log)
    try:
        yield running
    finally:
        running.stop()
