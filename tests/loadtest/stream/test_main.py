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
from loadtest.compare.environments import NotInstalled
from loadtest.stream import __main__ as stream
from loadtest.stream import setup


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        libraries()
    except NoProgram as error:
        pytest.skip(str(error))


def test_ways_are_measured_and_go_on_without_a_peer_that_cannot_be_installed(
    flights_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def python_of(peer: str | None, _: Path) -> str:
        if peer is not None:
            raise NotInstalled(f"cannot install {peer}: there is no network.")
        return sys.executable

    monkeypatch.setattr(setup, "python_of", python_of)
    few = ["--client", "kafka-python", "--rounds", "1", "--events", "12000", "--seconds", "2"]
    options = [*few, "--model", str(flights_models / "v1"), "--out", str(tmp_path)]
    assert stream.main(["--only", "rates", "limit", "worker", "quix", *options]) == 0
    said = capsys.readouterr().out
    found = orjson.loads((tmp_path / "results.json").read_bytes())
    for name in ("limit", "worker"):
        (rate,) = found["rates"][name]
        assert rate["events"] > 0
        assert rate["own_us"] > 0
    assert "| Quix Streams, the model in its process | failed |" in said
    assert "failed and was not measured further: cannot install quix: there is no network." in said
    assert not list(tmp_path.glob("data-*"))


def test_an_interrupt_ends_every_process_of_the_run(flights_models: Path, tmp_path: Path) -> None:
    options = ["--only", "rates", "limit", "--events", "2000", "--model", str(flights_models / "v1"), "--out", str(tmp_path)]
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
