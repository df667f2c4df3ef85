"""A replay as a JSON document, and as rows of tables. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.replay.answers import Kind
from tidegate.replay.run import Replay
from tidegate.replay.tally import Agreement, FailedEvent, Place, Worst

# Characters of an id in a table.
_MAX_ID = 80
WORST_HEAD = ("event", "partition/offset", "stable", "candidate", "difference")


def document(found: Replay) -> dict[str, Any]:
    """Return all figures of a replay; differences are the candidate minus the stable revision."""
    request, result = found.request, found.result
    return {
        "topic": request.topic,
        "window": str(request.window),
        "model": request.model,
        "output": request.output,
        "candidate": {"given": found.candidate.given, "revision": found.candidate.revision, "version": found.candidate.version},
        "answers": found.answers,
        "score": found.score,
        "events": result.events,
        "invalid": result.invalid,
        "answered_by_the_candidate": result.own,
        "outcomes": [
            {"candidate": candidate, "stable": stable, "events": events} for (candidate, stable), events in sorted(result.outcomes.items())
        ],
        "problems": result.problems,
        "failed": [{**_place(item.place), "reason": item.reason, "stable": item.stable.name.lower()} for item in result.failed],
        "agreement": None if result.agreement is None else _agreement(result.agreement),
        "latency_ms": {"candidate_call": _texts(result.candidate_ms), "stable_end_to_end": _texts(result.stable_ms)},
        "seconds": round(found.seconds, 3),
    }


def scope(found: Replay) -> str:
    """Return what was replayed, as a sentence without a period."""
    result = found.result
    invalid = f"; {result.invalid:,} records that are no CloudEvents are left out" if result.invalid else ""
    by = ", ".join(f"{count:,} by {version or 'no named version'}" for version, count in sorted(found.answers.items()))
    answers = f"answers in {found.request.output} since then: {by}"
    return f"{result.events:,} events of {found.request.topic} {found.request.window}{invalid}; {answers}"


def outcome_rows(found: Replay) -> list[tuple[str, str, str]]:
    """Return the candidate's outcome, the stable one, and the number of events; the most frequent first."""
    rows = [(*names, f"{events:,}") for names, events in sorted(found.result.outcomes.items(), key=lambda item: (-item[1], item[0]))]
    if found.result.own:
        rows.append(("not compared", f"scored by the candidate's version {found.candidate.version}", f"{found.result.own:,}"))
    return rows


def agreement_rows(found: Agreement) -> list[tuple[str, str]]:
    """Return the figures of the agreement by name."""
    differences = found.differences
    rows = [
        ("events with both scores", f"{differences.rows:,}"),
        ("equal scores", f"{differences.equal / differences.rows:.1%}"),
        (f"same side of {found.threshold:g}", f"{found.same_side / differences.rows:.1%}"),
        ("mean difference", f"{differences.mean:+.4f}"),
        ("mean absolute difference", f"{differences.mean_absolute:.4f}"),
        ("largest absolute difference", f"{differences.largest:.4f}"),
    ]
    quantiles = [("median difference" if share == 0.5 else f"{share:.0%} quantile", f"{value:+.4f}") for share, value in _items(found)]
    return rows + quantiles


def worst_row(item: Worst) -> tuple[str, ...]:
    """Return the cells of WORST_HEAD."""
    place = item.place
    return (
        _shortened(place.id),
        f"{place.partition}/{place.offset}",
        f"{item.stable:.4f}",
        f"{item.candidate:.4f}",
        f"{item.difference:+.4f}",
    )


def failed_row(item: FailedEvent) -> tuple[str, str, str]:
    """Return the event, what the stable revision had done, and the candidate's reason."""
    stable = {Kind.MISSING: "not answered", Kind.SCORED: "scored", Kind.REJECTED: "dead-lettered"}[item.stable]
    return _shortened(item.place.id), stable, item.reason


def latency_rows(found: Replay) -> list[tuple[str, str]]:
    """Return quantiles of both latencies, which are not of the same thing."""
    rows = []
    for title, quantiles in (
        ("candidate, a call of up to 256 events", found.result.candidate_ms),
        ("stable, from the event's record to its answer's", found.result.stable_ms),
    ):
        if quantiles:
            rows.append((title, ", ".join(f"p{share * 100:g} {value:,.0f} ms" for share, value in quantiles.items())))
    return rows


def _shortened(text: str) -> str:
    """Cut an id for a table; JSON has all of it."""
    return text if len(text) <= _MAX_ID else f"{text[:_MAX_ID]}…"


def _items(found: Agreement) -> list[tuple[float, float]]:
    return list(found.differences.quantiles.items())


def _agreement(found: Agreement) -> dict[str, Any]:
    worst = [{**_place(item.place), "stable": item.stable, "candidate": item.candidate} for item in found.worst]
    return {"differences": found.differences.to_json(), "threshold": found.threshold, "same_side": found.same_side, "worst": worst}


def _place(place: Place) -> dict[str, Any]:
    return {"id": place.id, "source": place.source, "partition": place.partition, "offset": place.offset}


def _texts(quantiles: Mapping[float, float]) -> dict[str, float]:
    return {f"{share:g}": value for share, value in quantiles.items()}
