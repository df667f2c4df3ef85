"""A helper process that kills the child processes if this process is killed and cannot do it itself.

It reads the process groups to watch from a pipe; when the pipe closes because its writer has died, it kills the
remaining groups. Linux's PR_SET_PDEATHSIG is not used: it needs code between fork and exec, is bound to the thread that
forked, spares grandchildren, and exists on no other system.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self


class OrphanReaper:
    """The helper process, which runs for as long as the context."""

    def __enter__(self) -> Self:
        # -I and -S: it imports nothing of the project, and starts in a few milliseconds.
        self._helper = subprocess.Popen(  # noqa: S603 this file
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._helper.stdin:
            self._helper.stdin.close()
        self._helper.wait()

    def add(self, group: int) -> None:
        """Watch a process group."""
        self._write(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Stop watching a process group, which has exited."""
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        # A single write of a few bytes is atomic, so threads need no lock.
        if self._helper.stdin and not self._helper.stdin.closed:
            try:
                os.write(self._helper.stdin.fileno(), line.encode())
            except BrokenPipeError:
                return


def main() -> None:
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
    main()
