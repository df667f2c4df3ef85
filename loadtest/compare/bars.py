"""The performance bars, and whether the figures meet them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadtest.compare.result import Comparison
from loadtest.compare.servers import OURS, PEER

Outcome = Literal["met", "missed", "not measured"]
LIGHTGBM, SOAK = "lightgbm", "soak"


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit of a figure of the function, or with `ratio` of the median ratio to MLServer's over the rounds."""

    title: str
    scenario: str
    figure: str
    limit: float
    at_least: bool = False
    ratio: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    bar: Bar
    value: float | None
    outcome: Outcome
    errors: int = 0


BARS = (
    Bar("one row, 8 connections: requests/s relative to MLServer", "one-row-8", "rate", 8, at_least=True, ratio=True),
    Bar("one row, 8 connections: p99 relative to MLServer", "one-row-8", "p99", 1 / 5, ratio=True),
    Bar("one row, 1 connection: requests/s relative to MLServer", "one-row-1", "rate", 2.5, at_least=True, ratio=True),
    Bar("one row, 64 connections: requests/s relative to MLServer", "one-row-64", "rate", 10, at_least=True, ratio=True),
    Bar("1,000 rows, JSON: requests/s relative to MLServer", "rows-json", "rate", 1.4, at_least=True, ratio=True),
    Bar("1,000 rows, binary tensors: requests/s relative to MLServer", "rows-binary", "rate", 2.5, at_least=True, ratio=True),
    Bar("process start to first response", "cold-start", "started_ms", 400, unit="ms"),
    Bar("process start to first response relative to MLServer", "cold-start", "started_ms", 1 / 6, ratio=True),
    Bar("resident memory after 10,000 requests relative to MLServer", "memory", "rss_mb", 1 / 3, ratio=True),
    Bar("open loop at half of the maximum rate: p99", "open-loop", "p99", 5, unit="ms"),
    Bar("memory growth over the second half of the soak test", SOAK, "slope", 1, unit="bytes per request"),
    Bar("LightGBM: added to the library call", LIGHTGBM, "added", 0.3, unit="ms per request"),
)


def verdicts(result: Comparison) -> list[Verdict]:
    return [_verdict(bar, result) for bar in BARS]


def _verdict(bar: Bar, result: Comparison) -> Verdict:
    value, errors = _measured(bar, result)
    if value is None:
        return Verdict(bar, None, "not measured")
    met = (value >= bar.limit if bar.at_least else value <= bar.limit) and not errors
    return Verdict(bar, value, "met" if met else "missed", errors)


def _measured(bar: Bar, result: Comparison) -> tuple[float | None, int]:
    """Return the figure, and the function's failed requests, since fast errors must not count as answers."""
    if bar.scenario == SOAK:
        return (result.soak.slope, result.soak.errors) if result.soak else (None, 0)
    rounds, errors = result.measured, result.measured.errors(bar.scenario, OURS)
    if bar.ratio:
        return rounds.ratio(bar.scenario, OURS, PEER, bar.figure), errors
    return rounds.median(bar.scenario, OURS, bar.figure), errors
