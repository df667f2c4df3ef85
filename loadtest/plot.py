"""The plot of a run: the latency of each request over time, answers per second, and the curve of quantiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.summary import Sample, quantile

# A browser takes seconds to draw hundreds of thousands of dots, which show no more.
_MAX_DOTS = 5_000
_CURVE = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def draw(samples: Sequence[Sample], title: str, path: Path) -> None:
    """Write an SVG with selectable text; equal samples give an equal file."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tidegate"}):
        figure = Figure(figsize=(9, 8), layout="constrained")
        latency, rate, curve = figure.subplots(3, 1)
        figure.suptitle(title)
        _latency(latency, samples)
        _rate(rate, samples)
        _curve(curve, samples)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _latency(axes: Axes, samples: Sequence[Sample]) -> None:
    shown = samples[:: len(samples) // _MAX_DOTS + 1]
    for label, failed, colour in (("answered", False, "tab:blue"), ("failed", True, "tab:red")):
        dots = [sample for sample in shown if (sample.error is not None) is failed]
        if dots:
            axes.scatter([dot.at for dot in dots], [dot.latency_ms for dot in dots], s=4, color=colour, label=label, linewidths=0)
    axes.set(xlabel="sent after, s", ylabel="latency, ms", yscale="log")
    if shown:
        axes.legend(loc="upper right")


def _rate(axes: Axes, samples: Sequence[Sample]) -> None:
    answered = Counter(int(sample.at + sample.latency_ms / 1000) for sample in samples if sample.error is None)
    axes.bar([second + 0.5 for second in answered], list(answered.values()), width=0.9)
    axes.set(xlabel="time, s", ylabel="answers in this second")


def _curve(axes: Axes, samples: Sequence[Sample]) -> None:
    ordered = sorted(sample.latency_ms for sample in samples if sample.error is None)
    if ordered:
        # 1 / (1 - q) spreads the tail: each decade is one more nine.
        axes.plot([1 / (1 - q) for q in _CURVE], [quantile(ordered, q) for q in _CURVE], marker=".")
    axes.set(xlabel="quantile", ylabel="latency, ms", xscale="log")
    axes.set_xticks([2, 10, 100, 1000], labels=["50%", "90%", "99%", "99.9%"])
