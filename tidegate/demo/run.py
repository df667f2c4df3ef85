"""The main job from beginning to end. Each step is a function; what they saw goes into the checks and the report."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from functions.flights.departures import departures
from functions.runtime.artifacts import modules
from tidegate.demo import report
from tidegate.demo.checks import Check
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.offline import Offline
from tidegate.demo.rollout import CANARY, MODEL, MODELS, STABLE, roll_out
from tidegate.demo.stages import Seen, call_by_http, score_batch, score_stream
from tidegate.local.state import is_alive
from tidegate.local.status import Status
from tidegate.progress import Narration

STREAM_MONTH = 11
MANIFESTS = Path("manifests/base")
_ZERO_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`events` bounds the streamed departures (all of the month unless given); `kill` names what is killed once while the stream runs."""

    state_dir: Path
    bootstrap_servers: str | None = None
    events: int | None = None
    kill: tuple[str, ...] = ()
    train: bool = True

    @property
    def report(self) -> Path:
        return self.state_dir / "report.json"


def run(settings: DemoSettings, narration: Narration) -> tuple[report.Report, list[Check]]:
    """Run the main job, write report.json, and return it with the checks. Raises DemoFailed when a step cannot be done at all."""
    started = time.monotonic()
    if not MANIFESTS.is_dir():
        raise DemoFailed(f"there is no {MANIFESTS} here; run the demo from the project's own folder.")
    seen = Seen()
    if settings.train:
        _train(narration)
    month = departures(STREAM_MONTH)[: settings.events]
    offline = Offline(MODELS, [STABLE, CANARY])
    narration.step("Starting `tidegate up`: the manifests as processes, everything at zero")
    with Workbench(settings.state_dir, MANIFESTS, settings.bootstrap_servers) as workbench:
        seen.report["kafka"] = workbench.running.kafka
        roll_out(workbench, narration)
        score_stream(workbench, month, offline, settings.kill, seen, narration)
        score_batch(workbench, settings.state_dir, offline, seen, narration)
        call_by_http(workbench, month[0], offline, seen, narration)
        _wait_for_zero(workbench, seen, narration)
        narration.step("Stopping `tidegate up` by Ctrl-C")
        status = workbench.stop()
    alive = [pid for pid in workbench.pids if is_alive(pid)]
    ended = f"{len(alive)} of {len(workbench.pids)} alive, exit status {status}"
    seen.checks.append(Check("`tidegate up` leaves no process", status == 0 and not alive and bool(workbench.pids), ended))
    seen.report["seconds"] = round(time.monotonic() - started, 1)
    seen.report["checks"] = [{"name": check.name, "kept": check.kept, "seen": check.seen} for check in seen.checks]
    report.write(seen.report, settings.report)
    return seen.report, seen.checks


def _train(narration: Narration) -> None:
    narration.step("Training v1 (the timetable) and v2 (the weather and the aircraft as well) on January to October")
    started = time.monotonic()
    command = [sys.executable, "-P", "-m", "functions.flights.train"]
    process = subprocess.run(command, env=modules.environment(), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 our own command
    if process.returncode != 0:
        raise DemoFailed("the models could not be trained; the lines above say why.")
    narration.say(process.stdout.rstrip())
    narration.say(f"  trained in {time.monotonic() - started:.1f} s")


def _wait_for_zero(workbench: Workbench, seen: Seen, narration: Narration) -> None:
    narration.step("Waiting until everything is back at zero")
    started = time.monotonic()
    status = workbench.wait_until(_ZERO_SECONDS, lambda status: not running_services(status))
    left = running_services(status)
    waited = f"after {time.monotonic() - started:.1f} s"
    narration.say(f"  {'still running: ' + ', '.join(left) if left else 'at zero'} {waited}")
    seen.checks.append(Check("everything is back at zero", not left, f"{len(left)} of {len(status['services'])} run {waited}"))
    cold = [start for revision in status["services"][MODEL]["revisions"] for start in revision["cold_starts"]]
    seen.report["cold_start_ms"] = report.percentiles([start["first_answer_ms"] or start["ready_ms"] for start in cold], maximum=True)
    seen.report["peak_rss_mib"] = {name: round(mib, 1) for name, mib in status["peak_rss_mib"].items()}


def running_services(status: Status) -> list[str]:
    """Those that still have a process."""
    return [name for name, service in status["services"].items() if any(revision["replicas"] for revision in service["revisions"])]
