"""The steps of the demo whose results are checked: each adds its checks and figures to the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventing.event import Event
from functions.flights.departures import Departure
from functions.flights.events import departed, labelled
from functions.runtime.contract import card as cards
from tidegate.demo import calls, checks, report, rollout_checks
from tidegate.demo.broken import broken
from tidegate.demo.checks import Check
from tidegate.demo.collector import Collected
from tidegate.demo.control import Workbench
from tidegate.demo.following import SETTLED_SECONDS, Following
from tidegate.demo.offline import Offline
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, MODELS, Rollout
from tidegate.demo.rollout_checks import Answered
from tidegate.demo.streaming import Departures, Streamed, stream
from tidegate.progress import ProgressReporter
from training.evaluation import auc, log_loss


def score_stream(
    workbench: Workbench,
    rollout: Rollout,
    month: Sequence[Departure],
    offline: Offline,
    results: Results,
    reporter: ProgressReporter,
    *,
    kill: Sequence[str] = (),
    broken_events: int = 0,
) -> tuple[Streamed, Following]:
    """Publish departures with their labels until the rollout is over, and the others after it."""
    events = [departed(departure) for departure in month]
    departures = Departures(
        events=events,
        labels=_labels(month),
        broken=broken(events[:broken_events]),
    )
    others = f" and {broken_events} broken ones" if broken_events else ""
    first, last = (item.record["scheduled_departure"][:10] for item in (month[0], month[-1]))
    reporter.step(
        f"Publishing {len(events):,} departures of {first} to {last}{others} to the stream, and the outcomes of flights to the Broker"
    )
    streamed, followed = stream(workbench, departures, kill, reporter)
    workbench.status()  # records the processes of now, which must be gone at the end
    collected = streamed.collected
    results.checks += checks.accounting((event.id for event in events), (item.case for item in departures.broken), collected)
    if departures.broken:
        results.checks.append(checks.dead_letters({item.case: item.reason for item in departures.broken}, collected))
    results.checks.append(_equal_offline(month, collected, rollout, offline))
    answers = answered(streamed)
    results.checks += rollout_checks.stickiness(answers, followed.steps, rollout.canary)
    results.checks.append(rollout_checks.shares(answers, followed.steps, rollout.canary))
    if kill:
        killed = ", ".join(streamed.killed) or "none"
        results.checks.append(Check("every chosen part was killed", streamed.killed == list(kill), killed))
    results.report |= _stream_figures(streamed, followed, departures.total)
    results.report["rollout"] = followed.figures({revision: version for version, revision in rollout.revisions.items()})
    results.report["versions"] = _quality(month, collected, rollout)
    return streamed, followed


def _labels(month: Sequence[Departure]) -> dict[str, Event]:
    """The label of each aircraft's first flight: a rollout counts each key once, by its first prediction."""
    first: dict[str, Departure] = {}
    for departure in month:
        first.setdefault(departure.record["tailnum"], departure)
    return {departure.id: label for departure in first.values() if (label := labelled(departure))}


def answered(streamed: Streamed) -> list[Answered]:
    """The answers, those of each key in order."""
    return [
        Answered(key=scored.key, version=scored.version, published=streamed.sent_ms[name], written=scored.written_ms)
        for name, scored in streamed.collected.scored.items()
    ]


def _equal_offline(month: Sequence[Departure], collected: Collected, rollout: Rollout, offline: Offline) -> Check:
    served: list[float] = []
    expected: list[float] = []
    for version in rollout.revisions:
        mine = [item for item in month if (scored := collected.scored.get(item.id)) and scored.version == version]
        if mine:
            served += [collected.scored[item.id].score for item in mine]
            expected += offline.scores(version, [item.record for item in mine]).tolist()
    return checks.equal("stream: scores equal offline scores", served, expected)


def _stream_figures(streamed: Streamed, followed: Following, events_in: int) -> dict[str, Any]:
    collected = streamed.collected
    backlog = streamed.published_since(followed.steps[-1].since + SETTLED_SECONDS * 1e3)
    seconds = (max(collected.scored[name].written_ms for name in backlog) - streamed.sent_ms[backlog[0]]) / 1e3 if backlog else 0.0
    return {
        "events_in": events_in,
        "scored": len(collected.scored),
        "dead_lettered": len(collected.dead),
        "lost": events_in - len(collected.scored) - len(collected.dead),
        "duplicated": sum(copies - 1 for copies in collected.copies.values()),
        "labels": streamed.labels,
        # Of the events that were published as fast as the stream takes them.
        "backlog_events": len(backlog),
        "events_per_second": round(len(backlog) / seconds, 1) if seconds else None,
        "latency_ms": report.percentiles(streamed.latencies_ms(backlog)),
        "killed": streamed.killed,
    }


def _quality(month: Sequence[Departure], collected: Collected, rollout: Rollout) -> dict[str, dict[str, float]]:
    """The quality of each version on the events that it scored and whose outcome is known."""
    quality = {}
    for version in rollout.revisions:
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
        "CloudEvent": calls.cloudevent(gateway, MODEL, departed(departure)),
    }
    for name, (version, score) in answers.items():
        expected = float(offline.scores(version, [record])[0])
        reporter.say(f"  {name}: {departure.id} by {version}: {score:.4f}")
        results.checks.append(Check(f"{name}: the offline score", score == expected, f"{score:.6f} by {version}"))
    versions = {version for version, _ in answers.values()}
    results.checks.append(Check("both calls used the key's version", len(versions) == 1, ", ".join(sorted(versions))))
