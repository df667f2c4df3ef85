from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.local.processes.orphan_reaper import OrphanReaper

# Watches the group in its argument, says so, and is then killed without a chance to clean up.
PARENT = """
import os, signal, sys
from tidegate.local.processes.orphan_reaper import OrphanReaper
with OrphanReaper() as reaper:
    reaper.add(int(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_watched_group_is_killed_after_the_parent() -> None:
    with sleeping() as child:
        subprocess.run([sys.executable, "-c", PARENT, str(child.pid)], check=False)
        assert child.wait(timeout=20) == -9


def test_removed_group_survives() -> None:
    with sleeping() as removed, sleeping() as watched:
        with OrphanReaper() as reaper:
            reaper.add(removed.pid)
            reaper.add(watched.pid)
            reaper.remove(removed.pid)
        assert watched.wait(timeout=20) == -9
        assert removed.poll() is None


def test_writes_after_the_end_are_ignored() -> None:
    with OrphanReaper() as reaper:
        pass
    reaper.add(1)
