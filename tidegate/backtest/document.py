"""A backtest as a JSON document, and as sentences. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidegate.backtest.bootstrap import Estimate
from tidegate.backtest.metrics import MetricComparison, ReliabilityBin
from tidegate.backtest.revisions import PinnedRevision
from tidegate.backtest.run import Backtest


def document(found: Backtest) -> dict[str, Any]:
    """Return all figures of a backtest; differences are the second revision minus the first."""
    request, analysis = found.request, found.analysis
    return {
        "model": request.model,
        "input": request.input,
        "label": request.label,
        "score": found.score,
        "rows": analysis.rows,
        "positives": analysis.positives,
        "dropped": found.dropped,
        "cluster": request.cluster,
        "blocks": analysis.blocks,
        "revisions": [
            {**_revision(pinned), "reliability": [_bin(item) for item in curves.reliability]}
            for pinned, curves in zip((found.first, found.second), analysis.curves, strict=True)
        ],
        "metrics": _metrics(analysis.metrics),
        "differences": analysis.differences.to_json(),
        "slices": [
            {
                "column": item.column,
                "value": item.value,
                "rows": item.rows,
                "positives": item.positives,
                "metrics": _metrics(item.metrics),
            }
            for item in analysis.slices
        ],
        "seconds": round(found.seconds, 3),
    }


def conclusions(found: Backtest) -> list[str]:
    """Return a sentence for each metric: which revision is better, or that the difference may be chance."""
    return [_conclusion(item, found.first, found.second) for item in found.analysis.metrics]


def shown(found: Estimate, *, signed: bool = False, digits: int = 4) -> str:
    """Return an estimate with its interval as text."""
    form = f"{{:{'+' if signed else ''}.{digits}f}}"
    value = form.format(found.value)
    if found.low is None or found.high is None:
        return value
    return f"{value} ({form.format(found.low)} to {form.format(found.high)})"


def better(item: MetricComparison, first: PinnedRevision, second: PinnedRevision) -> str:
    """Return the revision that is better in a metric; "-" when the difference may be chance."""
    return "-" if item.better is None else (first, second)[item.better].given


def scope(found: Backtest) -> str:
    """Return what was compared on what, as a sentence without a period."""
    analysis = found.analysis
    rate = analysis.positives / analysis.rows
    dropped = f"; {found.dropped:,} without a known outcome are left out" if found.dropped else ""
    return f"{analysis.rows:,} rows of {found.request.input}, of which {found.request.label} is true in {rate:.1%}{dropped}"


def method(found: Backtest) -> str:
    """Return how the intervals were made."""
    blocks, cluster = found.analysis.blocks, found.request.cluster
    how = f"rows with the same {cluster} are resampled together, in {blocks:,} blocks" if cluster else "each row is taken as independent"
    return f"Intervals: 95%, by paired bootstrap; {how}."


def _conclusion(item: MetricComparison, first: PinnedRevision, second: PinnedRevision) -> str:
    title = item.metric.title[0].upper() + item.metric.title[1:]
    values = f"{item.second.value:.4f} with {second.given}, {item.first.value:.4f} with {first.given}"
    difference = f"difference {shown(item.difference, signed=True)}"
    if item.difference.low is None:
        return f"{title}: {values}; {difference}, of too few rows for an interval."
    if item.better is None:
        return f"{title}: no clear difference: {values}; {difference}."
    return f"{title}: {better(item, first, second)} is better: {values}; {difference}."


def _revision(pinned: PinnedRevision) -> dict[str, Any]:
    return {"given": pinned.given, "revision": pinned.revision, "version": pinned.version}


def _metrics(found: Sequence[MetricComparison]) -> dict[str, Any]:
    return {
        item.metric.name: {
            "first": _estimate(item.first),
            "second": _estimate(item.second),
            "difference": _estimate(item.difference),
            "better": None if item.better is None else ("first", "second")[item.better],
        }
        for item in found
    }


def _bin(item: ReliabilityBin) -> dict[str, Any]:
    return {"rows": item.rows, "predicted": item.predicted, "observed": _estimate(item.observed)}


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "interval": None if found.low is None else [found.low, found.high]}
