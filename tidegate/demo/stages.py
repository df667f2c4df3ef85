"""The steps of the demo whose results are checked: each adds its checks and figures to the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventing.event import Event
from functions.flights.departures import Departure
from functions.runtime.contract import card as cards
from tidegate.demo import calls, checks, report
from tidegate.demo.broken import broken
from tidegate.demo.checks import Check
from tidegate.demo.collector import Collected
from tidegate.demo.control import Workbench
from tidegate.demo.offline import Offline
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, MODELS, STABLE, WEIGHT
from tidegate.demo.streaming import Streamed, stream
from tidegate.progress import ProgressReporter
from training.evaluation import auc, log_loss

BROKEN = 20


def to_event(departure: Departure) -> Event:
    """The event of a departure, as by an airline.

    Its key is the aircraft, whose events so keep their order and version.
    """
    return Event(
        {
            "specversion": "1.0",
            "id": departure.id,
            "source": f"/airlines/{departure.record['carrier']}",
            "type": "com.example.flight.departed",
            "subject": f"{departure.record['carrier']}{departure.record['flight']}",
            "partitionkey": departure.record["tailnum"],
            "datacontenttype": "application/json",
        },
        departure.record,
    )


def score_stream(
    workbench: Workbench, month: Sequence[Departure], offline: Offline, kill: Sequence[str], results: Results, reporter: ProgressReporter
) -> None:
    events = [to_event(departure) for departure in month]
    invalid = broken(events[:BROKEN])
    reporter.step(f"Publishing {len(events):,} departures of November 2013 and {len(invalid)} broken ones; scoring them through the stream")
    streamed = stream(workbench, events, invalid, kill, reporter)
    workbench.status()  # records the processes of now, which must be gone at the end
    collected = streamed.collected
    arms = checks.by_key((scored.key, scored.version) for scored in collected.scored.values())
    results.checks += checks.accounting((event.id for event in events), (item.case for item in invalid), collected)
    results.checks.append(checks.dead_letters({item.case: item.reason for item in invalid}, collected))
    results.checks.append(_equal_offline(month, collected, offline))
    results.checks += checks.canary("stream", arms, CANARY, WEIGHT)
    if kill:
        killed = ", ".join(streamed.killed) or "none"
        results.checks.append(Check("every chosen part was killed", streamed.killed == list(kill), killed))
    results.report |= _stream_figures(streamed, len(events) + len(invalid), arms)
    results.report["versions"] = _quality(month, collected)


def _equal_offline(month: Sequence[Departure], collected: Collected, offline: Offline) -> Check:
    served: list[float] = []
    expected: list[float] = []
    for version in (STABLE, CANARY):
        mine = [item for item in month if (scored := collected.scored.get(item.id)) and scored.version == version]
        if mine:
            served += [collected.scored[item.id].score for item in mine]
            expected += offline.scores(version, [item.record for item in mine]).tolist()
    return checks.equal("stream: scores equal offline scores", served, expected)


def _stream_figures(streamed: Streamed, events_in: int, arms: dict[str, set[str]]) -> dict[str, Any]:
    collected = streamed.collected
    out = len(collected.scored) + len(collected.dead)
    return {
        "events_in": events_in,
        "scored": len(collected.scored),
        "dead_lettered": len(collected.dead),
        "lost": events_in - out,
        "duplicated": sum(copies - 1 for copies in collected.copies.values()),
        "events_per_second": round(out / streamed.seconds, 1),
        "latency_ms": report.percentiles(streamed.latencies_ms),
        "canary_share_of_keys": round(checks.share_of_keys(arms, CANARY), 4),
        "killed": streamed.killed,
    }


def _quality(month: Sequence[Departure], collected: Collected) -> dict[str, dict[str, float]]:
    """The quality of each version on the events that it scored and whose outcome is known."""
    quality = {}
    for version in (STABLE, CANARY):
        pairs = [
            (item.late, scored.score)
            for item in month
            if item.late is not None and (scored := collected.scored.get(item.id)) and scored.version == version
        ]
        if pairs:
            outcomes, scores = zip(*pairs, strict=True)
            quality[version] = {"events": len(pairs), "log_loss": log_loss(outcomes, scores), "auc": auc(outcomes, scores)}
    return quality


def call_by_http(workbench: Workbench, departure: Departure, offline: Offline, results: Results, reporter: ProgressReporter) -> None:
    reporter.step("One Open Inference call and one CloudEvent call by HTTP")
    record, key = departure.record, departure.record["tailnum"]
    inputs = {item.name: item.datatype for item in cards.load(MODELS / CANARY / "model.yaml").inputs}
    gateway = workbench.running.gateway
    answers = {
        "Open Inference": calls.open_inference(gateway, MODEL, record, inputs, key),
        "CloudEvent": calls.cloudevent(gateway, MODEL, to_event(departure)),
    }
    for name, (version, score) in answers.items():
        expected = float(offline.scores(version, [record])[0])
        reporter.say(f"  {name}: {departure.id} by {version}: {score:.4f}")
        results.checks.append(Check(f"{name}: the offline score", score == expected, f"{score:.6f} by {version}"))
    versions = {version for version, _ in answers.values()}
    results.checks.append(Check("both calls used the key's version", len(versions) == 1, ", ".join(sorted(versions))))
