"""A short demo, in which each part is killed once, and one of a roll-back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.local import state

Tidegate = Callable[..., subprocess.CompletedProcess[str]]


VICTIMS = ("flights", "router", "stream-flights")
FIGURES = {
    "backlog_events",
    "backtest",
    "batch_by_event",
    "batch_rows",
    "batch_rows_per_second",
    "cold_start_ms",
    "dead_lettered",
    "duplicated",
    "events_in",
    "events_per_second",
    "kafka",
    "labels",
    "latency_ms",
    "lost",
    "peak_rss_mib",
    "rollout",
    "scored",
    "seconds",
    "versions",
}


def test_no_event_is_lost_or_duplicated_when_each_part_is_killed(tidegate: Tidegate, flights_models: Path, tmp_path: Path) -> None:
    kills = [word for name in VICTIMS for word in ("--kill", name)]

    done = tidegate("demo", "--no-train", "--events", "9000", "--state-dir", str(tmp_path), *kills, timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "up.log").read_text()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report.keys() >= FIGURES
    assert (report["events_in"], report["scored"], report["dead_lettered"], report["lost"], report["duplicated"]) == (9020, 9000, 20, 0, 0)
    assert report["killed"] == list(VICTIMS)
    assert all(check["kept"] for check in report["checks"])
    assert report["batch_by_event"]["attempts"] == 2
    assert (tmp_path / "backtest.html").read_text().startswith("<!DOCTYPE html>")
    assert {"v1", "v2"} == report["versions"].keys()
    assert report["rollout"]["phase"] == "promoted"
    assert [decision["percent"] for decision in report["rollout"]["decisions"] if decision["kind"] != "hold"] == [20, 50, 100]
    assert all(arm["labelled_keys"] >= 100 for arm in report["rollout"]["arms"])
    log = (tmp_path / "up.log").read_text()
    assert log.count("was killed by SIGKILL; restarting") == len(VICTIMS)


def test_version_that_is_only_wrong_is_rolled_back_by_the_outcomes(tidegate: Tidegate, flights_models: Path, tmp_path: Path) -> None:
    done = tidegate("demo", "--rollback", "--no-train", "--events", "9000", "--state-dir", str(tmp_path), timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "up.log").read_text()
    report = json.loads((tmp_path / "report.json").read_text())
    assert all(check["kept"] for check in report["checks"])
    assert report["rollout"]["phase"] == "rolled-back"
    found = report["roll_back"]
    assert found["e_value"] >= found["threshold"]
    assert 0 < found["affected_keys"] < found["keys"]
    assert report["rollout"]["arms"][1]["log_loss"] > report["rollout"]["arms"][0]["log_loss"]
    assert f"{found['affected_keys']:,} of {found['keys']:,}" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_demo_and_everything_that_it_started(number: signal.Signals, flights_models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidegate", "demo", "--no-train", "--events", "100", "--state-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr
        assert any(line.startswith("Publishing") for line in demo.stderr)
        found = state.read(tmp_path)
        demo.send_signal(number)
        assert demo.stderr.read().endswith("tidegate: interrupted\n")
    assert demo.returncode == 130
    assert found is not None
    assert not state.is_alive(found.pid)


def test_demo_outside_of_the_repository_is_refused(tidegate: Tidegate, tmp_path: Path) -> None:
    done = tidegate("demo", "--no-train", cwd=tmp_path)
    assert done.returncode == 1
    assert "no folder manifests in the working directory; run the demo from the repository's root" in done.stderr
