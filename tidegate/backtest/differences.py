"""The differences of two revisions' scores of the same rows, and curves to plot. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BARS = 60
_CURVE_POINTS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts between consecutive edges."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How much the second score of a row differs from the first."""

    rows: int
    equal: int
    """Rows whose scores are equal to the bit."""
    mean: float
    mean_absolute: float
    largest: float
    """The greatest absolute difference."""
    quantiles: dict[float, float]
    histogram: Histogram

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, without the histogram."""
        figures = {"rows": self.rows, "equal": self.equal, "mean": self.mean, "mean_absolute": self.mean_absolute, "largest": self.largest}
        return {**figures, "quantiles": {f"{share:g}": value for share, value in self.quantiles.items()}}


def differences(first: Floats, second: Floats) -> Differences:
    """Summarize second - first. There must be a row."""
    found = second - first
    return Differences(
        rows=len(found),
        equal=int((found == 0).sum()),
        mean=float(found.mean()),
        mean_absolute=float(np.abs(found).mean()),
        largest=float(np.abs(found).max()),
        quantiles=dict(zip(QUANTILES, np.quantile(found, QUANTILES).tolist(), strict=True)),
        histogram=_histogram(found),
    )


def same_side(first: Floats, second: Floats, threshold: float) -> int:
    """Return the number of rows whose scores lead to the same decision at a threshold."""
    return int(((first >= threshold) == (second >= threshold)).sum())


def roc(outcomes: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rates from the highest threshold down, thinned out for a plot."""
    order = np.argsort(-scores, kind="stable")
    true, ordered = outcomes[order], scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # the last row of each score: ties go together
    positive = np.cumsum(true)[ends]
    negative = ends + 1 - positive
    chosen = np.unique(np.linspace(0, len(ends) - 1, _CURVE_POINTS).astype(np.int64))
    start = np.zeros(1)
    return np.concatenate([start, negative[chosen] / negative[-1]]), np.concatenate([start, positive[chosen] / positive[-1]])


def _histogram(found: Floats) -> Histogram:
    """Return bars of equal width over the inner 99%; the outermost ones include what is beyond."""
    low, high = np.quantile(found, (0.005, 0.995))
    if low == high:
        low, high = low - 0.005, high + 0.005
    counts, edges = np.histogram(np.clip(found, low, high), _BARS, (low, high))
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))
