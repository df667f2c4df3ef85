"""The demo from start to end. Each step is a function that adds to the checks and to the report."""

from __future__ import annotations

import time

from functions.flights.departures import departures
from tidegate.demo import report, rollout_checks
from tidegate.demo.backtests import compare_versions
from tidegate.demo.batches import score_batch
from tidegate.demo.checks import Check
from tidegate.demo.control import Workbench
from tidegate.demo.offline import Offline
from tidegate.demo.report import Report
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, MODELS, STABLE, deploy, start
from tidegate.demo.session import DemoSettings, reported, running, train
from tidegate.demo.stages import call_by_http, score_stream
from tidegate.demo.triggered import score_by_events
from tidegate.local.status import Status
from tidegate.progress import ProgressReporter

MONTH = 12
POLICY = """\
steps: [5, 20, 50, 100]
minimumDuration: 4s
minimumKeys: 20            # aircraft that got an answer of v2, in each step
deadline: 10m
metrics:
  correctness:             # was the flight late? v2 is rolled back if it is wrong more often
    loss: log
    minimumLabels: 100     # aircraft with an answer of v2 and an outcome, before it is promoted
  drift: false             # v2 knows the weather: its scores are meant to differ
"""
BROKEN = 20
# Not the rollout function: while a rollout has just ended, it still delivers what it has decided.
_SCALED = (MODEL, "router")
_ZERO_SECONDS = 90.0


def run(settings: DemoSettings, reporter: ProgressReporter) -> tuple[Report, list[Check]]:
    """Run the demo, write report.json, and return it with the checks.

    Raises DemoFailed if a step cannot be completed.
    """
    with reported(settings) as results:
        if settings.train:
            train(reporter)
        month = departures(MONTH)[: settings.events]
        stable, canary = MODELS / STABLE, MODELS / CANARY
        offline = Offline(stable, canary)
        with running(settings, results, reporter) as workbench:
            rollout = deploy(workbench, stable, canary, POLICY, reporter)
            compare_versions(workbench, settings.files, results, reporter)
            start(workbench, rollout, reporter)
            _, followed = score_stream(workbench, rollout, month, offline, results, reporter, kill=settings.kill, broken_events=BROKEN)
            results.checks += rollout_checks.promotion(followed, rollout)
            call_by_http(workbench, month[0], offline, results, reporter)
            november = score_batch(workbench, rollout, settings.files, offline, results, reporter)
            score_by_events(workbench, november, results, reporter)
            _wait_for_zero(workbench, results, reporter)
    return results.report, results.checks


def _wait_for_zero(workbench: Workbench, results: Results, reporter: ProgressReporter) -> None:
    reporter.step("Waiting until model and router are back at zero")
    started = time.monotonic()
    status = workbench.wait_until(_ZERO_SECONDS, lambda status: not _running(status))
    left = _running(status)
    waited = f"after {time.monotonic() - started:.1f} s"
    reporter.say(f"  {'still running: ' + ', '.join(left) if left else 'at zero'} {waited}")
    results.checks.append(Check("model and router are back at zero", not left, f"{len(left)} of {len(_SCALED)} run {waited}"))
    cold = [start for revision in status["services"][MODEL]["revisions"] for start in revision["cold_starts"]]
    results.report["cold_start_ms"] = report.percentiles([start["first_answer_ms"] or start["ready_ms"] for start in cold], maximum=True)


def _running(status: Status) -> list[str]:
    """Those of _SCALED that still have a process."""
    return [name for name in _SCALED if any(revision["replicas"] for revision in status["services"][name]["revisions"])]
