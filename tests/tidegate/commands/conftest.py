"""A `tidegate up` of the example with two revisions: v1 has all traffic, v2 has a tag alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidegate import cli
from tidegate.demo.control import Workbench
from tidegate.demo.services import KnativeServices

Call = Callable[..., subprocess.CompletedProcess[str]]
MODEL = "flights"


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory, flights_models: Path) -> Iterator[Workbench]:
    state = tmp_path_factory.mktemp("up") / "state"
    with Workbench(state, Path("manifests/base"), None) as running:
        services = KnativeServices(Path(running.running.kubeconfig))
        stable = services.wait_ready(MODEL)["status"]["latestReadyRevisionName"]
        everything = {"revisionName": stable, "percent": 100, "tag": "v1"}
        services.set_traffic(MODEL, [everything])
        canary = services.set_env(MODEL, "TIDEGATE_MODEL", "functions/flights/models/v2")["status"]["latestReadyRevisionName"]
        services.set_traffic(MODEL, [everything, {"revisionName": canary, "percent": 0, "tag": "v2"}])
        services.close()
        yield running


@pytest.fixture
def call(workbench: Workbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command beside it, in this process."""
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(workbench.state_dir))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = cli.run(arguments)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return run
