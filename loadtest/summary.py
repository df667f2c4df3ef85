"""What was measured, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: seconds from the run's beginning to its sending, milliseconds until it was answered, and what went wrong."""

    at: float
    latency_ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies are those of the requests that succeeded, in milliseconds.

    `first_answer_ms` counts from the run's beginning: after a start from zero it is the cold start as a caller sees it.
    """

    requests: int
    failures: int
    seconds: float
    requests_per_second: float
    latency_ms: dict[str, float]
    first_answer_ms: float | None
    errors: dict[str, int]


def quantile(ordered: Sequence[float], q: float) -> float:
    """The nearest-rank quantile of ordered values: always one that was really measured."""
    return ordered[max(ceil(q * len(ordered)) - 1, 0)]


def summarize(samples: Sequence[Sample], seconds: float) -> Summary:
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
