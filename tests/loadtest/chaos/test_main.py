"""A stream on an Apache Kafka, under a few faults; and the end of a run by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from loadtest.chaos import __main__ as chaos
from loadtest.chaos.apache import NoProgram, libraries
from loadtest.chaos.checker import FAULTS

# One broker, little time between faults, and none that takes longer than the others.
KINDS = ("WORKER_KILLED_UNACKNOWLEDGED", "WORKER_STOPPED", "SINK_DROPPED", "FUNCTION_KILLED", "ANSWERS_SOME", "ANSWERS_HALF")
SMALL = ["--brokers", "1", "--workers", "2", "--session", "2.5", "--calm", "0.5", "1", "--keys", "50", "--only", *KINDS]


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        libraries()
    except NoProgram as error:
        pytest.skip(str(error))


def test_nothing_is_lost_duplicated_or_out_of_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Its status also depends on how fast this machine is.
    chaos.main([*SMALL, "--no-router", "--seed", "10", "--events", "3000", "--faults", "4", "--out", str(tmp_path)])
    said = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    assert folder.name == "kafka-python-at-least-once-10"
    report = orjson.loads((folder / "report.json").read_bytes())
    assert report["wrong"] == dict.fromkeys(FAULTS, 0), said.out + said.err
    assert report["events"] == 3000
    assert len(report["faults"]) == 4
    assert report["replies"] > 2900
    assert report["dead_letters"] > 0
    assert "| lost | 0 |" in said.out


def test_an_interrupt_ends_every_process_of_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtest.chaos", *SMALL, "--seed", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "kafka-python-at-least-once-1" / "broker-0.log"
    while not log.exists() or not log.stat().st_size:
        assert process.poll() is None
        time.sleep(0.02)
    assert _processes(tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "chaos: interrupted" in said
    assert not _processes(tmp_path)


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chaos.main(["--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "chaos: java is not on the PATH; install Java 17 or newer."


def _processes(folder: Path) -> list[str]:
    """The command lines that name this folder, without that of the run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "loadtest.chaos" not in line:
            found.append(line)
    return found
