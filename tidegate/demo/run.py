"""The demo from start to end. Each step is a function that adds to the checks and to the report."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from functions.flights.departures import departures
from functions.runtime.artifacts import modules
from tidegate.demo import report
from tidegate.demo.backtests import compare_versions
from tidegate.demo.batches import score_batch
from tidegate.demo.checks import Check
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.offline import Offline
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, MODELS, STABLE, roll_out
from tidegate.demo.stages import call_by_http, score_stream
from tidegate.demo.triggered import score_by_events
from tidegate.local import state
from tidegate.local.state import is_alive
from tidegate.local.status import Status
from tidegate.progress import ProgressReporter

STREAM_MONTH = 11
MANIFESTS = Path("manifests/base")
_ZERO_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSettings:
    """Settings of a run.

    `events` limits the streamed departures (None: the whole month); each part in `kill` is killed once while the stream
    runs.
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


def run(settings: DemoSettings, reporter: ProgressReporter) -> tuple[report.Report, list[Check]]:
    """Run the demo, write report.json, and return it with the checks.

    Raises DemoFailed if a step cannot be completed.
    """
    started = time.monotonic()
    if not MANIFESTS.is_dir():
        raise DemoFailed(f"no folder {MANIFESTS} in the working directory", remedy="run the demo from the repository's root")
    results = Results()
    if settings.train:
        _train(reporter)
    month = departures(STREAM_MONTH)[: settings.events]
    offline = Offline(MODELS, [STABLE, CANARY])
    _forget_jobs(settings.state_dir)
    reporter.step("Starting `tidegate up`: the manifests as processes, everything at zero")
    with Workbench(settings.state_dir, MANIFESTS, settings.bootstrap_servers) as workbench:
        results.report["kafka"] = workbench.running.kafka
        roll_out(workbench, reporter)
        score_stream(workbench, month, offline, settings.kill, results, reporter)
        december = score_batch(workbench, settings.files, offline, results, reporter)
        score_by_events(workbench, december, results, reporter)
        compare_versions(workbench, settings.files, results, reporter)
        call_by_http(workbench, month[0], offline, results, reporter)
        _wait_for_zero(workbench, results, reporter)
        reporter.step("Stopping `tidegate up` by Ctrl-C")
        status = workbench.stop()
    alive = [pid for pid in workbench.pids if is_alive(pid)]
    ended = f"{len(alive)} of {len(workbench.pids)} alive, exit status {status}"
    results.checks.append(Check("`tidegate up` leaves no process", status == 0 and not alive and bool(workbench.pids), ended))
    results.report["seconds"] = round(time.monotonic() - started, 1)
    results.report["checks"] = [{"name": check.name, "kept": check.kept, "seen": check.observed} for check in results.checks]
    report.write(results.report, settings.report)
    return results.report, results.checks


def _forget_jobs(state_dir: Path) -> None:
    """Remove the Jobs of an earlier demo: those that it did not finish would run again, beside those of this one."""
    if state.read(state_dir) is None:
        shutil.rmtree(state_dir / "jobs", ignore_errors=True)


def _train(reporter: ProgressReporter) -> None:
    reporter.step("Training v1 (the timetable) and v2 (the weather and the aircraft as well) on January to October")
    started = time.monotonic()
    command = [sys.executable, "-P", "-m", "functions.flights.train"]
    process = subprocess.run(command, env=modules.environment(), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 our own command
    if process.returncode != 0:
        raise DemoFailed("the models could not be trained; see the lines above for the reason.")
    reporter.say(process.stdout.rstrip())
    reporter.say(f"  trained in {time.monotonic() - started:.1f} s")


def _wait_for_zero(workbench: Workbench, results: Results, reporter: ProgressReporter) -> None:
    reporter.step("Waiting until everything is back at zero")
    started = time.monotonic()
    status = workbench.wait_until(_ZERO_SECONDS, lambda status: not running_services(status))
    left = running_services(status)
    waited = f"after {time.monotonic() - started:.1f} s"
    reporter.say(f"  {'still running: ' + ', '.join(left) if left else 'at zero'} {waited}")
    results.checks.append(Check("everything is back at zero", not left, f"{len(left)} of {len(status['services'])} run {waited}"))
    cold = [start for revision in status["services"][MODEL]["revisions"] for start in revision["cold_starts"]]
    results.report["cold_start_ms"] = report.percentiles([start["first_answer_ms"] or start["ready_ms"] for start in cold], maximum=True)
    results.report["peak_rss_mib"] = {name: round(mib, 1) for name, mib in status["peak_rss_mib"].items()}


def running_services(status: Status) -> list[str]:
    """The Knative Services that still have a process."""
    return [name for name, service in status["services"].items() if any(revision["replicas"] for revision in service["revisions"])]
