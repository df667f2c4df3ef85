"""The figures of a whole run, and how they compare with the bars. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from loadtest.stream.kills import Kept
from loadtest.stream.latency import Latency
from loadtest.stream.rates import Rate
from loadtest.stream.worker import Memory

Outcome = Literal["met", "missed", "not measured"]
_MIB = 2**20


@dataclass(slots=True)
class Results:
    """What was measured. Rates have one entry for each round, None where the way failed; the rest is by the way's name."""

    rates: dict[str, list[Rate | None]] = field(default_factory=dict)
    latencies: dict[str, Latency] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    failing_key: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ratio(self, way: str, other: str) -> float | None:
        """Return the median of the rounds' ratios, since a disturbance of a round affects both ways."""
        pairs = zip(self.rates.get(way, []), self.rates.get(other, []), strict=False)
        ratios = [one.events / two.events for one, two in pairs if one is not None and two is not None]
        return median(ratios) if ratios else None

    def median(self, way: str, figure: Callable[[Rate], float]) -> float | None:
        values = [figure(entry) for entry in self.rates.get(way, []) if entry is not None]
        return median(values) if values else None


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit of a figure."""

    title: str
    limit: float
    value: Callable[[Results], float | None]
    at_least: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    bar: Bar
    value: float | None
    outcome: Outcome


def _ratio(title: str, limit: float, way: str, other: str) -> Bar:
    return Bar(title, limit, lambda results: results.ratio(way, other), at_least=True)


def _of(found: dict[str, Any], way: str, figure: Callable[[Any], float]) -> float | None:
    return figure(found[way]) if way in found else None


def _latency(title: str, limit: float, way: str, figure: Callable[[Latency], float]) -> Bar:
    return Bar(title, limit, lambda results: _of(results.latencies, way, figure), unit="ms")


def _kept(title: str, way: str, figure: Callable[[Kept], float]) -> Bar:
    return Bar(title, 0, lambda results: _of(results.kept, way, figure))


BARS = (
    _ratio("worker / limit, kafka-python", 0.8, "worker", "limit"),
    _ratio("worker through the router / limit, kafka-python", 0.7, "router", "limit"),
    _ratio("worker / one event a request, kafka-python", 4, "worker", "single"),
    _ratio("worker / one event a request, confluent-kafka", 10, "worker-confluent", "single-confluent"),
    _ratio("exactly once / at least once, kafka-python", 0.7, "exactly-once", "worker"),
    _ratio("exactly once / at least once, confluent-kafka", 0.7, "exactly-once-confluent", "worker-confluent"),
    _latency("p50", 25, "worker", lambda found: found.p50),
    _latency("p99", 100, "worker", lambda found: found.p99),
    _latency("p50 through the router", 25, "router", lambda found: found.p50),
    _latency("p99 through the router", 100, "router", lambda found: found.p99),
    Bar("peak memory of a long run", 150, lambda results: _of(results.memory, "worker", lambda found: found.peak / _MIB), unit="MiB"),
    Bar("its growth between the second and the last quarter", 5, lambda results: _growth(results), unit="MiB"),
    Bar("process start to first result", 1.5, lambda results: _of(results.starts, "worker", median), unit="s"),
    Bar(
        "other keys of a partition while one fails / none fails",
        0.9,
        lambda results: _of(results.failing_key, "worker", float),
        at_least=True,
    ),
    _kept("events that SIGKILL lost", "worker", lambda found: found.lost),
    _kept("events that SIGKILL lost, exactly once", "exactly-once", lambda found: found.lost),
    _kept("events that SIGKILL doubled, exactly once", "exactly-once", lambda found: found.doubled),
)


def _growth(results: Results) -> float | None:
    return _of(results.memory, "worker", lambda found: found.growth / _MIB)


def verdicts(results: Results) -> list[Verdict]:
    return [_verdict(bar, bar.value(results)) for bar in BARS]


def _verdict(bar: Bar, value: float | None) -> Verdict:
    if value is None:
        return Verdict(bar, None, "not measured")
    return Verdict(bar, value, "met" if (value >= bar.limit if bar.at_least else value <= bar.limit) else "missed")
