"""Settings of all tests: with REQUIRE=all, as in CI, a skipped test fails with its reason; a busy machine fails none."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from subprocess import run
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.apache", "tests.fixtures.distribution", "tests.fixtures.proxies", "tests.fixtures.streams"]

ROOT = Path(__file__).parents[1]
REQUIRE_ALL = os.environ.get("REQUIRE") == "all"
Kubectl = Callable[..., str]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _required((yield))


def _required(report: Report) -> Report:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nREQUIRE=all lets no test be skipped."
    return report


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """Runs kubectl on the cluster of KUBECONFIG and returns what it printed; `stdin` is given to it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: name a cluster that has Knative's custom resources.")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on the PATH: install it.")

    def call(*arguments: str, stdin: str | None = None) -> str:
        done = run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="session")
def flights_models() -> Path:
    """The trained versions of the example, where the manifests look for them; trained if they are not there."""
    models = ROOT / "functions/flights/models"
    state = ROOT / ".tidegate"
    state.mkdir(exist_ok=True)
    with (state / "train.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the processes of pytest-xdist trains, and the others wait for it
        if not (models / "v2/model.yaml").exists():
            run([sys.executable, "-m", "functions.flights.train"], cwd=ROOT, check=True)
    return models
