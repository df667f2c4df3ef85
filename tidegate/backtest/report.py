"""The HTML report of a backtest."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.backtest.analysis import RevisionCurves
from tidegate.backtest.differences import Differences
from tidegate.backtest.document import better, conclusions, method, scope, shown
from tidegate.backtest.metrics import METRICS, Metric
from tidegate.backtest.run import Backtest
from tidegate.reporting import page, plots
from tidegate.reporting.page import Markup
from tidegate.reporting.plots import Interval, Points

# Slices in a plot; the table has all of them.
_MOST_PLOTTED = 40


def html(found: Backtest) -> str:
    """Return the page."""
    first, second = found.first.title, found.second.title
    subtitle = f"{scope(found)}. Score: {found.score}. Revisions: {first} and {second}."
    return page.page(f"Backtest of {found.request.model}: {first} and {second}", subtitle, list(_sections(found)))


def differences_section(found: Differences, first: str, second: str) -> Markup:
    """Return the distribution of the differences between two revisions' scores."""
    title = "Differences of the scores"
    histogram = found.histogram
    picture = plots.bars(
        f"{second} minus {first}",
        histogram.edges,
        histogram.counts,
        x="difference of the scores",
        y="rows",
        description=f"Histogram of the differences; the median is {found.quantiles[0.5]:+.4f}.",
    )
    rows = [["median" if share == 0.5 else f"{share:.0%} quantile", f"{value:+.4f}"] for share, value in found.quantiles.items()]
    rows += [["mean", f"{found.mean:+.4f}"], ["mean absolute difference", f"{found.mean_absolute:.4f}"]]
    rows += [["largest absolute difference", f"{found.largest:.4f}"], ["equal scores", f"{found.equal / found.rows:.1%}"]]
    caption = f"{second} minus {first}, row by row; the outermost bars include what is beyond."
    return page.section(title, page.figure(picture, caption), page.table("The same as numbers", ["", "difference"], rows, numbers=(1,)))


def _sections(found: Backtest) -> Iterator[Markup]:
    yield page.section("Result", page.items(conclusions(found)), page.paragraph(method(found)))
    yield page.section("Metrics", _metrics(found))
    yield page.section("Calibration", _reliability(found))
    yield page.section("Separation", _roc(found))
    yield differences_section(found.analysis.differences, found.first.title, found.second.title)
    if found.analysis.slices:
        yield page.section("Slices", *_slices(found))


def _metrics(found: Backtest) -> Markup:
    head = ["metric", found.first.title, found.second.title, "difference", "better"]
    rows = [
        [
            item.metric.title,
            shown(item.first),
            shown(item.second),
            shown(item.difference, signed=True),
            better(item, found.first, found.second),
        ]
        for item in found.analysis.metrics
    ]
    caption = "With 95% intervals. Lower is better, except for AUC. A dash: the difference may be chance."
    return page.table(caption, head, rows, numbers=(1, 2, 3))


def _reliability(found: Backtest) -> Markup:
    first, second = found.analysis.curves
    picture = plots.lines(
        "Reliability diagram",
        [_bins(found.first.title, first), _bins(found.second.title, second)],
        x="mean score",
        y=f"share of rows in which {found.request.label} is true",
        description="Observed share by mean score, in bins of equal count; a calibrated model follows the diagonal.",
    )
    caption = (
        "Ten bins with equally many rows, with 95% intervals. A calibrated model is on the dotted diagonal; below it, scores are too high."
    )
    return page.figure(picture, caption)


def _bins(name: str, curves: RevisionCurves) -> Points:
    bins = curves.reliability
    observed = [item.observed for item in bins]
    low = [item.value if item.low is None else item.low for item in observed]
    high = [item.value if item.high is None else item.high for item in observed]
    return Points(name, [item.predicted for item in bins], [item.value for item in observed], low, high)


def _roc(found: Backtest) -> Markup:
    first, second = (curves.roc for curves in found.analysis.curves)
    picture = plots.lines(
        "ROC curves",
        [Points(found.first.title, *first), Points(found.second.title, *second)],
        x="share of false rows above the threshold",
        y="share of true rows above the threshold",
        description="True positive rate by false positive rate; the higher curve separates better.",
    )
    return page.figure(picture, "The higher curve separates better; the dotted diagonal is chance. AUC is the area below.")


def _slices(found: Backtest) -> Iterator[Markup]:
    for metric in METRICS[:2]:
        yield _slice_plot(found, metric)
    head = ["slice", "rows", "true", *(f"{metric.title}, difference" for metric in METRICS)]
    rows = []
    for item in found.analysis.slices:
        by_metric = {one.metric: shown(one.difference, signed=True) for one in item.metrics}
        cells = [by_metric.get(metric, "-") for metric in METRICS]
        rows.append([f"{item.column} {item.value}", f"{item.rows:,}", f"{item.positives / item.rows:.1%}", *cells])
    yield page.table(
        f"Differences by slice, {found.second.title} minus {found.first.title}", head, rows, numbers=tuple(range(1, len(head)))
    )
    yield page.paragraph("Of many slices, about one in twenty differs by chance alone: its interval excludes 0 without a reason.")


def _slice_plot(found: Backtest, metric: Metric) -> Markup:
    rows = [
        Interval(f"{item.column} {item.value} ({item.rows:,})", one.difference.value, one.difference.low, one.difference.high)
        for item in found.analysis.slices
        for one in item.metrics
        if one.metric == metric
    ][:_MOST_PLOTTED]
    side = "left" if metric.lower_is_better else "right"
    below, above = (plots.SECOND, plots.FIRST) if metric.lower_is_better else (plots.FIRST, plots.SECOND)
    picture = plots.intervals(
        f"Difference in {metric.title} by slice",
        rows,
        below=below,
        above=above,
        x=f"{metric.title} of {found.second.title} minus {found.first.title}",
        description=f"Difference with its 95% interval for {len(rows)} slices; {found.second.title} is better to the {side} of 0.",
    )
    caption = f"{found.second.title} is better to the {side} of the dotted line. Bold: the interval excludes 0. In parentheses: rows."
    return page.figure(picture, caption)
