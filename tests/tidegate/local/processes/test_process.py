from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.errors import StartFailed
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.process import Exit, Launch, Process

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Start = Callable[[str], Process]


@pytest.fixture
def reaper() -> Iterator[OrphanReaper]:
    with OrphanReaper() as helper:
        yield helper


@pytest.fixture
def start(tmp_path: Path, reaper: OrphanReaper) -> Start:
    """A Python program as a child process."""

    def spawn(program: str) -> Process:
        log = tmp_path / "log" / "hello-1.log"
        launch = Launch(name="hello-1", argv=[sys.executable, "-c", program], env=dict(os.environ), cwd=tmp_path, log=log)
        return Process.start(launch, reaper)

    return spawn


async def test_exit_code_and_output_are_recorded(start: Start) -> None:
    process = start("import sys; print('first'); print('the artifact is missing', file=sys.stderr); print(); sys.exit(3)")
    exit_ = await process.exited
    assert str(exit_) == "ended with exit code 3"
    assert "first" in process.launch.log.read_text()
    assert start("pass").last_line() == "no output"


async def test_last_line_includes_stderr(start: Start) -> None:
    process = start("import sys; sys.exit('the artifact is missing')")
    await process.exited
    assert process.last_line() == "the artifact is missing"


async def test_stop_sends_sigterm_first(start: Start, until: Until) -> None:
    process = start(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
    )
    await until(lambda: "up" in process.launch.log.read_text())
    assert await process.stop(grace=30) == Exit(0)


async def test_stop_kills_a_group_that_ignores_sigterm(start: Start, until: Until) -> None:
    process = start(
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); time.sleep(60)"
    )
    await until(lambda: process.launch.log.read_text().endswith("\n"))
    child = int(process.launch.log.read_text())
    exit_ = await process.stop(grace=0)
    assert str(exit_) == "was killed by SIGKILL"
    await until(lambda: _ended(child))


async def test_process_has_its_own_session(start: Start) -> None:
    process = start("import time; time.sleep(60)")
    assert os.getsid(process.pid) == process.pid
    process.kill()
    assert await process.exited == Exit(-signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the memory of a process in /proc")
async def test_memory_excludes_that_of_the_parent(start: Start, until: Until) -> None:
    ballast = bytearray(100 << 20)
    process = start("b = bytearray(30 << 20); del b; print('up', flush=True); import time; time.sleep(60)")
    await until(lambda: "up" in process.launch.log.read_text())
    peak, now = process.peak_rss_mib(), process.rss_mib()
    process.kill()
    await process.exited
    assert peak
    assert now
    assert 30 < peak < len(ballast) >> 20
    assert now < peak
    assert process.peak_rss_mib() == peak


async def test_missing_program_is_named(tmp_path: Path, reaper: OrphanReaper) -> None:
    launch = Launch(name="hello-1", argv=["no-such-program"], env={}, cwd=tmp_path, log=tmp_path / "hello-1.log")
    with pytest.raises(StartFailed, match="hello-1: cannot run no-such-program: No such file or directory"):
        Process.start(launch, reaper)


def _ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie that its adoptive parent has yet to reap."""
    try:
        os.kill(pid, 0)
        return sys.platform == "linux" and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
