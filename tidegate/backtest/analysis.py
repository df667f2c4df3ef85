"""From a sample to all that a report shows. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidegate.backtest.bootstrap import compacted
from tidegate.backtest.differences import Differences, Floats, differences, roc
from tidegate.backtest.groups import SliceColumn
from tidegate.backtest.metrics import MetricComparison, ReliabilityBin, compare, reliability
from tidegate.backtest.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceAnalysis:
    """The rows with one value of a column."""

    column: str
    value: str
    rows: int
    positives: int
    metrics: tuple[MetricComparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionCurves:
    """The reliability diagram and the ROC curve of one revision."""

    reliability: tuple[ReliabilityBin, ...]
    roc: tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Two revisions on the same rows."""

    rows: int
    positives: int
    blocks: int | None
    """The blocks of clusters that were resampled; None when each row stands for itself."""
    metrics: tuple[MetricComparison, ...]
    curves: tuple[RevisionCurves, RevisionCurves]
    differences: Differences
    slices: tuple[SliceAnalysis, ...]


def analyse(sample: Sample, columns: Sequence[SliceColumn]) -> Analysis:
    """Compare both revisions on all rows, and on each slice of the columns."""
    clusters = None if sample.clusters is None else compacted(sample.clusters)
    first, second = (
        RevisionCurves(reliability=reliability(sample.outcomes, scores, clusters), roc=roc(sample.outcomes, scores))
        for scores in (sample.first, sample.second)
    )
    return Analysis(
        rows=len(sample),
        positives=int(sample.outcomes.sum()),
        blocks=None if clusters is None else int(clusters.max()) + 1,
        metrics=compare(sample.outcomes, sample.first, sample.second, clusters),
        curves=(first, second),
        differences=differences(sample.first, sample.second),
        slices=tuple(found for column in columns for found in _slices(sample, column)),
    )


def _slices(sample: Sample, column: SliceColumn) -> Iterator[SliceAnalysis]:
    """Yield the slices of a column, those with most rows first."""
    codes, rows = sample.slices[column.name], replace(sample, slices={})
    counts = np.bincount(codes, minlength=len(column.values))
    names = sorted(column.values, key=lambda value: (-counts[column.values[value]], value))
    for name in names:
        code = column.values[name]
        if not counts[code]:  # all of its rows have an unknown outcome
            continue
        part = rows.where(codes == code)
        clusters = None if part.clusters is None else compacted(part.clusters)
        yield SliceAnalysis(
            column=column.name,
            value=name,
            rows=len(part),
            positives=int(part.outcomes.sum()),
            metrics=compare(part.outcomes, part.first, part.second, clusters),
        )
