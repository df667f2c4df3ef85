"""What every demo does: train the models, run the manifests of a rollout, and report what was found."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from functions.runtime.artifacts import modules
from tidegate.demo import report
from tidegate.demo.checks import Check
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.results import Results
from tidegate.demo.rollout import MANIFESTS, kustomize
from tidegate.local import state
from tidegate.local.state import is_alive
from tidegate.progress import ProgressReporter


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSettings:
    """Settings of a run.

    `events` limits the streamed departures (None: all that the demo has); each part in `kill` is killed once while the
    stream runs.
    """

    state_dir: Path
    bootstrap_servers: str | None = None
    events: int | None = None
    kill: tuple[str, ...] = ()
    train: bool = True

    @property
    def files(self) -> Path:
        """The folder of what batches read and write; absolute, as a Job's request names it."""
        return self.state_dir.resolve() / "files"

    @property
    def report(self) -> Path:
        return self.state_dir / "report.json"


@contextmanager
def reported(settings: DemoSettings) -> Iterator[Results]:
    """Results that are written as a report at the end, unless a step could not be completed. Raises DemoFailed."""
    started = time.monotonic()
    if not MANIFESTS.is_dir():
        raise DemoFailed(f"no folder {MANIFESTS} in the working directory", remedy="run the demo from the repository's root")
    results = Results()
    yield results
    results.report["seconds"] = round(time.monotonic() - started, 1)
    results.report["checks"] = [{"name": check.name, "kept": check.kept, "seen": check.observed} for check in results.checks]
    report.write(results.report, settings.report)


@contextmanager
def running(settings: DemoSettings, results: Results, reporter: ProgressReporter) -> Iterator[Workbench]:
    """`tidegate up` with all that a rollout needs; at the end it is stopped, and nothing of it may be left."""
    _forget_jobs(settings.state_dir)
    reporter.step("Starting `tidegate up`: the manifests as processes, everything at zero")
    with Workbench(settings.state_dir, kustomize(settings.state_dir), settings.bootstrap_servers) as workbench:
        results.report["kafka"] = workbench.running.kafka
        yield workbench
        reporter.step("Stopping `tidegate up` by Ctrl-C")
        results.report["peak_rss_mib"] = {name: round(mib, 1) for name, mib in workbench.status()["peak_rss_mib"].items()}
        status = workbench.stop()
    alive = [pid for pid in workbench.pids if is_alive(pid)]
    ended = f"{len(alive)} of {len(workbench.pids)} alive, exit status {status}"
    results.checks.append(Check("`tidegate up` leaves no process", status == 0 and not alive and bool(workbench.pids), ended))


def train(reporter: ProgressReporter) -> None:
    """Train both versions by the example's own command. Raises DemoFailed."""
    reporter.step("Training v1 (the timetable) and v2 (the weather and the aircraft as well) on January to October")
    started = time.monotonic()
    command = [sys.executable, "-P", "-m", "functions.flights.train"]
    process = subprocess.run(command, env=modules.environment(), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 our own command
    if process.returncode != 0:
        raise DemoFailed("the models could not be trained; see the lines above for the reason.")
    reporter.say(process.stdout.rstrip())
    reporter.say(f"  trained in {time.monotonic() - started:.1f} s")


def _forget_jobs(state_dir: Path) -> None:
    """Remove the Jobs of an earlier demo: those that it did not finish would run again, beside those of this one."""
    if state.read(state_dir) is None:
        shutil.rmtree(state_dir / "jobs", ignore_errors=True)
