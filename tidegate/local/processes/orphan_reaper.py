"""What ends the children when this process is killed and cannot do it itself.

A small process reads the groups to watch over from a pipe; when the pipe closes, because its writer is gone, it kills those that
are left. Linux could do this by PR_SET_PDEATHSIG, but that needs code between fork and exec, is bound to the thread that forked,
spares grandchildren, and exists nowhere else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self


class Lifeline:
    def __enter__(self) -> Self:
        # -I and -S: it imports nothing of the project, and starts in a few milliseconds.
        self._watcher = subprocess.Popen(  # noqa: S603 our own file
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._watcher.stdin:
            self._watcher.stdin.close()
        self._watcher.wait()

    def hold(self, group: int) -> None:
        self._write(f"+{group}\n")

    def release(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        # One write of a few bytes is atomic, so that threads need no lock.
        if self._watcher.stdin and not self._watcher.stdin.closed:
            try:
                os.write(self._watcher.stdin.fileno(), line.encode())
            except BrokenPipeError:
                return


def watch() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line.startswith("+") else groups.discard)(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    watch()
