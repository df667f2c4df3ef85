"""The tables of a run, in Markdown, and its document. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from loadtest.stream.rates import Rate
from loadtest.stream.results import Results, verdicts
from loadtest.stream.ways import WAYS

_MIB = 2**20
_TITLES = {way.name: way.title for way in WAYS}
_LIMITS = {False: "limit", True: "limit-confluent"}


def lines(results: Results) -> Iterator[str]:
    """Yield the tables of what was measured, the bars, and the notes."""
    if results.rates:
        yield from _rates(results)
    if results.latencies:
        yield from _table(["latency", "p50 ms", "p99 ms", "of a core"], _latency_rows(results))
    if results.kept:
        head = ["SIGKILL and restart", "kills", "lost a kill", "doubled a kill", "seconds in all"]
        yield from _table(head, _kept_rows(results))
    if results.starts:
        rows = [[_TITLES[name], f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"] for name, found in results.starts.items()]
        yield from _table(["process start to first result", "seconds"], rows)
    if results.memory:
        rows = [
            [_TITLES[name], f"{found.events:,}", f"{found.peak / _MIB:.0f}", f"{found.growth / _MIB:.1f}"]
            for name, found in results.memory.items()
        ]
        yield from _table(["memory", "events", "peak MiB", "growth MiB"], rows)
    if results.failing_key:
        rows = [[_TITLES[name], f"{share:.2f}"] for name, share in results.failing_key.items()]
        yield from _table(["other keys of a partition while one fails", "of a run without it"], rows)
    yield from _table(["bar", "limit", "measured", "result"], _bar_rows(results))
    yield from (f"- {note}" for note in results.notes)


def document(results: Results, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return all figures, and the verdicts, as JSON values."""
    found = [{"bar": item.bar.title, "limit": item.bar.limit, "value": item.value, "outcome": item.outcome} for item in verdicts(results)]
    return {"conditions": dict(conditions), **asdict(results), "bars": found}


def _rates(results: Results) -> Iterator[str]:
    head = ["way", "events/s", "lowest to highest", "of the limit", "CPU us an event: own / function / router", "peak MiB"]
    yield from _table(head, [_rate_row(results, name) for name in results.rates])


def _rate_row(results: Results, name: str) -> list[str]:
    found = [entry for entry in results.rates[name] if entry is not None]
    if not found:
        return [_TITLES[name], "failed", "", "", "", ""]

    def middle(figure: Callable[[Rate], float]) -> float:
        return median(figure(entry) for entry in found)

    share = results.ratio(name, _LIMITS[name.endswith("confluent")])
    cpu = " / ".join(_microseconds(middle(figure)) for figure in (_own, _function, _router))
    events = [entry.events for entry in found]
    return [
        _TITLES[name],
        f"{median(events):,.0f}",
        f"{min(events):,.0f} to {max(events):,.0f}",
        "" if share is None else f"{share:.2f}",
        cpu,
        f"{max(entry.peak_bytes for entry in found) / _MIB:.0f}",
    ]


def _own(rate: Rate) -> float:
    return rate.own_us


def _function(rate: Rate) -> float:
    return rate.function_us


def _router(rate: Rate) -> float:
    return rate.router_us


def _microseconds(value: float) -> str:
    # An idle server has some housekeeping.
    return f"{value:.0f}" if value >= 1 else "-"


def _latency_rows(results: Results) -> list[list[str]]:
    return [[_TITLES[name], f"{found.p50:.1f}", f"{found.p99:.1f}", f"{found.core:.0%}"] for name, found in results.latencies.items()]


def _kept_rows(results: Results) -> list[list[str]]:
    return [
        [_TITLES[name], f"{found.kills}", f"{found.lost / found.kills:,.0f}", f"{found.doubled / found.kills:,.0f}", f"{found.seconds:.0f}"]
        for name, found in results.kept.items()
    ]


def _bar_rows(results: Results) -> list[list[str]]:
    return [
        [
            item.bar.title,
            f"{'at least' if item.bar.at_least else 'at most'} {item.bar.limit:g} {item.bar.unit}".strip(),
            "" if item.value is None else f"{item.value:.3g} {item.bar.unit}".strip(),
            item.outcome,
        ]
        for item in verdicts(results)
    ]


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
