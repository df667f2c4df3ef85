from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from loadtest.compare.load import Load, run
from loadtest.compare.processes import ServerFailed, exchange, free_port, running
from loadtest.compare.wire import request, scores

_REQUEST = request("/v2", b"{}")
# A server with a child, which ignores SIGTERM and would outlive it.
_WITH_CHILD = """
import os, signal, sys
from loadtest.compare import noop
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    signal.pause()
noop.uvloop.run(noop.serve(int(sys.argv[1])))
"""


def test_noop_server_answers_the_load_generator(tmp_path: Path) -> None:
    port = free_port()
    with running([sys.executable, "-m", "loadtest.compare.noop", str(port)], {}, port, _REQUEST, tmp_path / "log") as process:
        figures = run(Load(port, (_REQUEST, request("/v2", b"x" * 300_000)), 4, count=100))
        assert len(scores(exchange(port, _REQUEST))) == 1
        assert process.started_ms > 0
    assert (figures.requests, figures.errors) == (100, 0)


def test_all_processes_of_a_server_are_measured_and_ended(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with running([sys.executable, "-c", _WITH_CHILD, str(port)], {}, port, _REQUEST, log) as process:
        child = os.pidfd_open(int(log.read_text()))
        alone = _resident(process.pid)
        assert process.resident() > alone + 2**20
        assert 0 < process.proportional() < process.resident()
    assert not Path(f"/proc/{process.pid}").exists()
    assert select.select([child], [], [], 10)[0], "the child still runs"
    os.close(child)


def test_server_that_ends_is_reported_with_its_last_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with pytest.raises(ServerFailed, match="no such model"), running(command, {}, free_port(), _REQUEST, tmp_path / "log"):
        pass


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
