from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.errors import StartFailed
from tidegate.local.processes.orphan_reaper import Lifeline
from tidegate.local.processes.process import Exit, Launch, Process

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Start = Callable[[str], Process]


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    with Lifeline() as line:
        yield line


@pytest.fixture
def start(tmp_path: Path, lifeline: Lifeline) -> Start:
    """A Python program as a child process."""

    def spawn(program: str) -> Process:
        launch = Launch("hello-1", [sys.executable, "-c", program], dict(os.environ), tmp_path, tmp_path / "log" / "hello-1.log")
        return Process(launch, lifeline)

    return spawn


async def test_its_end_and_its_last_words_are_known(start: Start) -> None:
    process = start("import sys; print('first'); print('the artifact is missing', file=sys.stderr); print(); sys.exit(3)")
    exit_ = await process.exited
    assert str(exit_) == "ended with exit code 3"
    assert "first" in process.launch.log.read_text()
    assert start("pass").last_line() == "it said nothing"


async def test_the_last_words_are_those_of_stderr(start: Start) -> None:
    process = start("import sys; sys.exit('the artifact is missing')")
    await process.exited
    assert process.last_line() == "the artifact is missing"


async def test_it_is_asked_to_stop_first(start: Start, until: Until) -> None:
    process = start(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
    )
    await until(lambda: "up" in process.launch.log.read_text())
    assert await process.stop(grace=30) == Exit(0)


async def test_it_is_killed_with_its_children_when_it_does_not_listen(start: Start, until: Until) -> None:
    process = start(
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); time.sleep(60)"
    )
    await until(lambda: process.launch.log.read_text().endswith("\n"))
    child = int(process.launch.log.read_text())
    exit_ = await process.stop(grace=0)
    assert str(exit_) == "was killed by SIGKILL"
    await until(lambda: _ended(child))


async def test_it_has_a_session_of_its_own(start: Start) -> None:
    process = start("import time; time.sleep(60)")
    assert os.getsid(process.pid) == process.pid
    process.kill()
    assert await process.exited == Exit(-signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process's memory in /proc")
async def test_its_memory_is_its_own_and_not_the_parents(start: Start, until: Until) -> None:
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


async def test_a_program_that_is_not_there_is_named(tmp_path: Path, lifeline: Lifeline) -> None:
    launch = Launch("hello-1", ["no-such-program"], {}, tmp_path, tmp_path / "hello-1.log")
    with pytest.raises(StartFailed, match="hello-1: cannot run no-such-program: No such file or directory"):
        Process(launch, lifeline)


def _ended(pid: int) -> bool:
    """Gone, or a zombie that whoever adopted it has yet to reap."""
    try:
        os.kill(pid, 0)
        return sys.platform == "linux" and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
