"""The commands beside the broker, the worker and the sink of the stream's tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventing.kafka.port import Broker
from tidegate import cli
from tidegate.local.broker import EMBEDDED
from tidegate.local.state import Running, announced

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state_dir(broker: Broker, tmp_path: Path) -> Iterator[Path]:
    """The state of a `tidegate up` with the embedded broker of the tests."""
    running = Running(
        pid=os.getpid(),
        gateway="http://127.0.0.1:1",
        api="http://127.0.0.1:1",
        kubeconfig="",
        bootstrap_servers=broker.bootstrap_servers,
        kafka_api_version=list(broker.api_version or ()),
        kafka=EMBEDDED,
        started="",
    )
    with announced(tmp_path, running):
        yield tmp_path


@pytest.fixture
def deadletters(state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `tidegate deadletters` in this process."""
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(state_dir))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = cli.run(["deadletters", *arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return run
