"""The demo of a roll-back: a version that is only wrong, and the rollout function that sees it by the outcomes."""

from __future__ import annotations

from typing import Any

from functions.flights.departures import departures
from tidegate.demo import rollout_checks
from tidegate.demo.checks import Check
from tidegate.demo.faulty import EXCHANGED, FAULTY, exchange
from tidegate.demo.following import Following
from tidegate.demo.offline import Offline
from tidegate.demo.report import Report
from tidegate.demo.rollout import CANARY, MODELS, deploy, start
from tidegate.demo.session import DemoSettings, reported, running, train
from tidegate.demo.stages import answered, score_stream
from tidegate.demo.streaming import Streamed
from tidegate.progress import ProgressReporter

MONTH = 11
POLICY = """\
steps: [5, 20, 50, 100]
minimumDuration: 8s
minimumKeys: 20            # aircraft that got an answer of v3, in each step
deadline: 10m
metrics:
  correctness:             # was the flight late? v3 is rolled back if it is wrong more often
    loss: log
    minimumLabels: 150     # aircraft with an answer of v3 and an outcome, before it is promoted
  drift: false             # scores may differ: what counts is whether they come true
"""
# The first days of the month: enough for the decision, and for what comes after it.
_EVENTS = 12_000


def run(settings: DemoSettings, reporter: ProgressReporter) -> tuple[Report, list[Check]]:
    """Deploy a faulty version beside a good one, write report.json, and return it with the checks.

    Raises DemoFailed if a step cannot be completed.
    """
    with reported(settings) as results:
        if settings.train:
            train(reporter)
        good, bad = MODELS / CANARY, settings.state_dir.resolve() / "models" / FAULTY
        pairs = " and ".join(f"{first} for {second}" for first, second in EXCHANGED.items())
        reporter.step(f"Making {FAULTY}: {CANARY}, which takes {pairs} and the other way round")
        exchange(good, bad)
        month = departures(MONTH)[: settings.events or _EVENTS]
        with running(settings, results, reporter) as workbench:
            rollout = deploy(workbench, good, bad, POLICY, reporter)
            start(workbench, rollout, reporter)
            streamed, followed = score_stream(workbench, rollout, month, Offline(good, bad), results, reporter, kill=settings.kill)
            results.checks += rollout_checks.roll_back(answered(streamed), followed, FAULTY)
            results.report["roll_back"] = _figures(streamed, followed)
    return results.report, results.checks


def _figures(streamed: Streamed, followed: Following) -> dict[str, Any]:
    """What the fault has cost until it was found."""
    answers = answered(streamed)
    faulty = [answer for answer in answers if answer.version == FAULTY]
    until = followed.steps[-1].since
    last = followed.decisions[-1] if followed.decisions else {}
    return {
        "affected_keys": len({answer.key for answer in faulty}),
        "affected_requests": len(faulty),
        "keys": len({answer.key for answer in answers if answer.written < until}),
        "requests": sum(answer.written < until for answer in answers),
        "labels": streamed.labels,
        "labelled_keys": sum(arm["labelledKeys"] for arm in followed.document["arms"]),
        "seconds": round((until - followed.steps[0].since) / 1e3, 1),
        "e_value": last.get("eValue"),
        "threshold": last.get("threshold"),
        "sentence": last.get("sentence"),
    }
