"""Samples of a run, and their summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent, in seconds from the start of the run, its latency in ms, and its error."""

    at: float
    latency_ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run. Latencies are of successful requests, in milliseconds.

    `first_answer_ms` is counted from the start of the run: from zero, it is the cold start as a caller observes it.
    """

    requests: int
    failures: int
    seconds: float
    requests_per_second: float
    latency_ms: dict[str, float]
    first_answer_ms: float | None
    errors: dict[str, int]


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the nearest-rank quantile of ordered values, which is always a measured one."""
    return ordered[max(ceil(q * len(ordered)) - 1, 0)]


def summarize(samples: Sequence[Sample], seconds: float) -> Summary:
    """Summarize the samples of a run that took `seconds`."""
    good = [sample for sample in samples if sample.error is None]
    ordered = sorted(sample.latency_ms for sample in good)
    latency = {f"p{q * 100:g}": round(quantile(ordered, q), 3) for q in QUANTILES} | {"max": round(ordered[-1], 3)} if ordered else {}
    return Summary(
        requests=len(samples),
        failures=len(samples) - len(good),
        seconds=round(seconds, 3),
        requests_per_second=round(len(good) / seconds, 1) if seconds > 0 else 0.0,
        latency_ms=latency,
        first_answer_ms=round(min(sample.at * 1000 + sample.latency_ms for sample in good), 3) if good else None,
        errors=dict(Counter(sample.error for sample in samples if sample.error is not None).most_common()),
    )
