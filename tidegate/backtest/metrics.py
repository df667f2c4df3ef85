"""The metrics of two revisions on the same outcomes, and their differences, with confidence intervals. Pure functions.

Point estimates are those of `training.evaluation`, which trainers use. Resampled AUCs are of scores in at most
`AUC_BINS` bins of equal count, so that a resample is a histogram; they are centred on the exact AUC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.bootstrap import Blocks, Estimate, Floats, Resampler, basic, blocks_of, percentile
from training import evaluation

AUC_BINS = 500

Outcomes = NDArray[np.bool_]


class Metric(NamedTuple):
    """A metric; `lower_is_better` decides what its difference means."""

    name: str
    title: str
    lower_is_better: bool = True


METRICS = (
    Metric("log_loss", "log loss"),
    Metric("auc", "AUC", lower_is_better=False),
    Metric("brier", "Brier score"),
    Metric("calibration_error", "calibration error"),
)


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of both revisions; `difference` is the second minus the first."""

    metric: Metric
    first: Estimate
    second: Estimate
    difference: Estimate

    @property
    def better(self) -> int | None:
        """The index of the revision that is better, 0 or 1; None when the difference may be chance."""
        sign = self.difference.sign
        if not sign:
            return None
        return 1 if (sign < 0) == self.metric.lower_is_better else 0


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of similar score: how many, their mean score, and the share of true outcomes among them."""

    rows: int
    predicted: float
    observed: Estimate


class _Resampled(NamedTuple):
    """A statistic, and its values in the resamples."""

    value: float
    resampled: Floats

    def minus(self, other: _Resampled) -> _Resampled:
        return _Resampled(self.value - other.value, self.resampled - other.resampled)


def compare(outcomes: Outcomes, first: Floats, second: Floats, clusters: Blocks | None = None) -> tuple[MetricComparison, ...]:
    """Compare two revisions' probabilities of the same outcomes.

    `clusters` are the blocks of rows that are not independent, numbered from 0 without gaps; without them all rows are
    independent. Without rows of both outcomes, there is no AUC.
    """
    resampler = Resampler(blocks_of(len(outcomes)) if clusters is None else clusters)
    pairs = [_statistics(outcomes, scores, resampler) for scores in (first, second)]
    found = zip(METRICS, *pairs, strict=True)
    return tuple(_compared(metric, one, two, resampler.is_reliable) for metric, one, two in found if one is not None and two is not None)


def reliability(outcomes: Outcomes, scores: Floats, clusters: Blocks | None = None, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return the reliability diagram of probabilities: bins of equal count, lowest scores first."""
    resampler = Resampler(blocks_of(len(outcomes)) if clusters is None else clusters)
    place, points = evaluation.bins_of(scores, bins), evaluation.calibration(outcomes, scores, bins)
    rows = resampler.sums_by_bin(place, len(points))
    true = resampler.sums_by_bin(place, len(points), outcomes.astype(np.float64))
    shares = np.where(rows > 0, true / np.maximum(rows, 1), np.nan)
    return tuple(
        ReliabilityBin(point.rows, point.predicted, _share(point.observed, shares[:, number], resampler.is_reliable))
        for number, point in enumerate(points)
    )


def _share(value: float, resampled: Floats, reliable: bool) -> Estimate:
    drawn = resampled[~np.isnan(resampled)]
    return percentile(value, drawn) if reliable and drawn.size else Estimate(value)


def _statistics(outcomes: Outcomes, scores: Floats, resampler: Resampler) -> tuple[_Resampled | None, ...]:
    """Return the statistic of each of METRICS."""
    return (
        _mean(evaluation.log_losses(outcomes, scores), resampler),
        _auc(outcomes, scores, resampler),
        _mean(evaluation.squared_errors(outcomes, scores), resampler),
        _calibration_error(outcomes, scores, resampler),
    )


def _mean(values: Floats, resampler: Resampler) -> _Resampled:
    return _Resampled(float(values.mean()), resampler.sums(values) / resampler.sums())


def _auc(outcomes: Outcomes, scores: Floats, resampler: Resampler) -> _Resampled | None:
    if outcomes.all() or not outcomes.any():
        return None
    exact = evaluation.auc(outcomes, scores)
    bins = _auc_bins(scores)
    count = int(bins.max()) + 1
    true = resampler.sums_by_bin(bins, count, outcomes.astype(np.float64))
    false = resampler.sums_by_bin(bins, count) - true
    wins = np.sum(true * (np.cumsum(false, axis=1) - false / 2), axis=1)
    pairs = true.sum(axis=1) * false.sum(axis=1)
    # A resample without one of the outcomes, of very few rows, has no AUC.
    resampled = np.where(pairs > 0, wins / np.maximum(pairs, 1), 0.5)
    return _Resampled(exact, resampled + (exact - evaluation.auc(outcomes, bins)))


def _auc_bins(scores: Floats) -> NDArray[np.intp]:
    """Return a bin of each score: its rank if there are few distinct scores, otherwise a quantile."""
    values, place = np.unique(scores, return_inverse=True)
    return place if len(values) <= AUC_BINS else evaluation.bins_of(scores, AUC_BINS)


def _calibration_error(outcomes: Outcomes, scores: Floats, resampler: Resampler) -> _Resampled:
    bins = evaluation.bins_of(scores)
    count = int(bins.max()) + 1
    gaps = np.abs(resampler.sums_by_bin(bins, count, scores - outcomes)).sum(axis=1) / resampler.sums()
    exact = evaluation.calibration_error(evaluation.calibration(outcomes, scores))
    return _Resampled(exact, gaps)


def _compared(metric: Metric, one: _Resampled, two: _Resampled, reliable: bool) -> MetricComparison:
    difference = two.minus(one)
    if not reliable:
        return MetricComparison(metric, Estimate(one.value), Estimate(two.value), Estimate(difference.value))
    if metric.name == "calibration_error":
        # Chance gaps add to it, more so in small samples: an interval of one alone covers too little. In the difference
        # they cancel.
        return MetricComparison(metric, Estimate(one.value), Estimate(two.value), basic(*difference))
    return MetricComparison(metric, percentile(*one), percentile(*two), percentile(*difference))
