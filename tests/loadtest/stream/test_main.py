"""The whole measurement, of few events, on an Apache Kafka; and the end of a run by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from loadtest.chaos.apache import NoProgram, libraries
from loadtest.stream import __main__ as stream

SMALL = ["--rounds", "1", "--events", "2000", "--seconds", "5"]


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        libraries()
    except NoProgram as error:
        pytest.skip(str(error))


def test_ways_are_measured_and_a_killed_worker_loses_nothing(
    flights_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--kills", "1", "--kill-events", "1000", "--model", str(flights_models / "v1"), "--out", str(tmp_path)]
    assert stream.main(["--only", "rates", "kills", "limit", "worker", *SMALL, *few]) == 0
    said = capsys.readouterr()
    found = orjson.loads((tmp_path / "results.json").read_bytes())
    assert set(found["rates"]) == {"limit", "limit-confluent", "worker", "worker-confluent"}
    for name, rounds in found["rates"].items():
        assert [round_["events"] > 0 for round_ in rounds] == [True], name
        assert (rounds[0]["function_us"] > 5) is name.startswith("worker"), name
    assert {name: kept["lost"] for name, kept in found["kept"].items()} == {"worker": 0, "worker-confluent": 0}
    assert "| events that SIGKILL lost | at most 0 | 0 | met |" in said.out
    assert not list(tmp_path.glob("data-*"))


def test_peer_that_cannot_be_installed_is_named_and_the_others_go_on(
    flights_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    options = ["--only", "rates", "quix", "limit", *SMALL, "--model", str(flights_models / "v1"), "--out", str(tmp_path)]
    assert stream.main(options) == 0
    said = capsys.readouterr().out
    assert "| Quix Streams, the model in its process | failed |" in said
    assert "failed and was not measured further: cannot install quixstreams" in said
    assert "| limit: one process, kafka-python | " in said


def test_an_interrupt_ends_every_process_of_the_run(flights_models: Path, tmp_path: Path) -> None:
    options = ["--only", "rates", "limit", "--model", str(flights_models / "v1"), "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest.stream", *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("limit-*.log")):
        assert process.poll() is None
        time.sleep(0.02)
    started = _children(process.pid)
    assert len(started) >= 3, "the broker, the function and the router, and perhaps the limit"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stream: interrupted" in said
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found
