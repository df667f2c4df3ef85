from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch import job
from tidegate.cli import run
from tidegate.local.state import Running, announced

Tidegate = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = ["up", "serve", "init", "demo", "batch", "backtest", "publish", "replay", "send", "tail", "status", "streams", "doctor"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_variable_for_each_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    options = set(re.findall(r"^\s+(?:-\w, )?--([a-z][a-z-]+)", shown, re.MULTILINE)) - {"help"}
    assert options
    assert len(re.findall(r"env var: +TIDEGATE_\w+", " ".join(shown.split()))) == len(options)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {command}  ", shown, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["up", "--nonsense"], ["serve"], ["init"], ["up", "--port", "70000"], ["publish", "topic"]]
)
def test_wrong_usage_has_exit_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_failure_is_one_sentence_with_a_traceback_by_debug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--state-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (
        printed.err
        == f"tidegate: no tidegate is running here ({tmp_path}); start it with `tidegate up`, or name its folder with --state-dir.\n"
    )
    assert run(["status", "--state-dir", str(tmp_path), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve", "nowhere.ubj"], "no model at nowhere.ubj"),
        (["serve", "pyproject.toml"], "pyproject.toml is neither a card (.yaml) nor a model of XGBoost (JSON, UBJSON) or LightGBM (text)"),
        (["up", "nowhere"], "nowhere"),
        (["publish", "topic", "pyproject.toml", "--bootstrap-servers", "127.0.0.1:1"], "must be one of .jsonl"),
        (["publish", "topic", "nowhere.csv", "--bootstrap-servers", "127.0.0.1:1"], "file nowhere.csv not found"),
        (["tail", "topic", "--bootstrap-servers", "127.0.0.1:1"], "no Kafka broker answers at 127.0.0.1:1"),
        (["up", "--bootstrap-servers", "127.0.0.1:1", "--port", "0"], "no Kafka broker answers at 127.0.0.1:1"),
        (["batch", "nowhere.parquet", "out.parquet", "--model", "flights", "--url", "http://127.0.0.1:1"], "nowhere.parquet"),
    ],
)
def test_missing_file_or_broker_is_named(arguments: list[str], sentence: str, tidegate: Tidegate, tmp_path: Path) -> None:
    done = tidegate(*arguments, TIDEGATE_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_status_of_a_stopping_process_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        api = f"http://127.0.0.1:{closed.getsockname()[1]}"
    running = Running(
        pid=os.getpid(),
        gateway=api,
        api=api,
        kubeconfig="",
        bootstrap_servers="127.0.0.1:1",
        kafka_api_version=None,
        kafka="embedded",
        started="",
    )
    with announced(tmp_path, running):
        assert run(["status", "--state-dir", str(tmp_path)]) == 1
    assert f"tidegate (pid {os.getpid()}) is stopping, or cannot be reached at {api}" in capsys.readouterr().err


def test_batch_prints_rows_by_revision(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scored(*_: Any, **__: Any) -> job.Summary:
        return job.Summary(rows=3, seconds=0.5, revisions={"flights-00001": 2, "flights-00002": 1})

    monkeypatch.setattr(job, "run", scored)
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "in.parquet")
    assert (
        run(["batch", str(tmp_path / "in.parquet"), "out.parquet", "--model", "flights", "--url", "http://x", "--key", "a", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["revisions"] == {"flights-00001": 2, "flights-00002": 1}


@pytest.mark.parametrize("command", ["up", "serve"])
def test_taken_port_is_named(command: str, tidegate: Tidegate, flights_models: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        extra = [str(flights_models / "v1")] if command == "serve" else []
        done = tidegate(command, *extra, "--port", port, TIDEGATE_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert port in done.stderr
    assert "choose another port (--port)" in done.stderr
    assert "Traceback" not in done.stderr


def test_printed_call_of_serve_succeeds(flights_models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidegate", "serve", str(flights_models / "v2"), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        assert re.match(r"Serving flights v2 \(\d+ inputs\) at http://127\.0\.0\.1:\d+/v2/models/flights", process.stdout.readline())
        called = subprocess.run(process.stdout.readline().strip(), shell=True, capture_output=True, check=True)  # noqa: S602 a user pastes it into a shell
        (score,) = json.loads(called.stdout)["predictions"]
        assert 0 < score < 1
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.stdout.close()
