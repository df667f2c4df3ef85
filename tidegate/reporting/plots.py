"""Plots as `<svg>` elements, in colours that people with any colour vision can distinguish.

The colours are two of Okabe and Ito's (Color Universal Design, 2008); line styles and markers differ too, so that a
print in black and white can be read.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Vermilion is darker than Okabe and Ito's orange, and has enough contrast to white.
FIRST, SECOND, NEUTRAL = "#0072b2", "#d55e00", "#555555"
_STYLES = (("-", "o", FIRST), ("--", "s", SECOND))
_WIDTH = 8.0

Values = Sequence[float] | NDArray[np.float64]


class Points(NamedTuple):
    """A named series; `low` and `high` are the bounds of an interval of each point, if there are any."""

    name: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None


class Interval(NamedTuple):
    """A labelled value with the interval around it; None where there is none."""

    label: str
    value: float
    low: float | None
    high: float | None


def lines(title: str, series: Sequence[Points], *, x: str, y: str, description: str, square: bool = True) -> str:
    """Plot two series as lines over the unit square, with its diagonal."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle=":")
        many = len(series[0].x) > 30
        for points, (line, marker, colour) in zip(series, _STYLES, strict=False):
            axes.plot(points.x, points.y, linestyle=line, marker="" if many else marker, markersize=5, color=colour, label=points.name)
            if points.low is not None and points.high is not None:
                axes.vlines(points.x, points.low, points.high, color=colour, linewidth=1.2)
        axes.set(xlabel=x, ylabel=y)
        if square:
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="best", frameon=False)

    return _svg(title, description, draw, height=5.2 if square else 4.2, width=6.2 if square else _WIDTH)


def intervals(title: str, rows: Sequence[Interval], *, below: str, above: str, x: str, description: str) -> str:
    """Plot values with their intervals, one a line, beside 0.

    An interval that excludes 0 is filled and bold, in the colour `below` or `above`.
    """

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
        for place, row in enumerate(rows):
            low, high = (row.value if bound is None else bound for bound in (row.low, row.high))
            clear = row.low is not None and (low > 0 or high < 0)
            colour = (below if row.value < 0 else above) if clear else NEUTRAL
            axes.hlines(place, low, high, color=colour, linewidth=2 if clear else 1.2)
            axes.plot([row.value], [place], "o", color=colour, markerfacecolor=colour if clear else "white", markersize=5)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.invert_yaxis()
        axes.set(xlabel=x, ylim=(len(rows) - 0.4, -0.6))

    return _svg(title, description, draw, height=1.2 + 0.28 * len(rows))


def bars(title: str, edges: Sequence[float], counts: Sequence[int], *, x: str, y: str, description: str) -> str:
    """Plot a histogram, with a line at 0."""

    def draw(axes: Axes) -> None:
        axes.stairs(counts, edges, fill=True, color=SECOND, alpha=0.85)
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.set(xlabel=x, ylabel=y, xlim=(edges[0], edges[-1]))

    return _svg(title, description, draw, height=3.4)


def scatter(title: str, points: Points, *, x: str, y: str, description: str) -> str:
    """Plot points over a square with its diagonal; both axes have one range."""
    low, high = (float(bound(np.concatenate([points.x, points.y]))) for bound in (np.min, np.max))
    margin = 0.05 * (high - low) or 0.05
    limits = (low - margin, high + margin)

    def draw(axes: Axes) -> None:
        axes.plot(limits, limits, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.scatter(points.x, points.y, s=6, color=FIRST, alpha=0.5, linewidths=0)
        axes.set(xlabel=x, ylabel=y, xlim=limits, ylim=limits, aspect="equal")

    return _svg(title, description, draw, height=5.2, width=6.2)


def _svg(title: str, description: str, draw: Callable[[Axes], None], *, height: float, width: float = _WIDTH) -> str:
    """Return the picture with a title and a description for screen readers."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tidegate", "font.family": "sans-serif", "axes.spines.top": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines["right"].set_visible(False)
        draw(axes)
        axes.set_title(title, fontsize=11, loc="left")
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, count=1, flags=re.DOTALL)
    # Identifiers are global in a page, and a title is unique in it: equal figures give equal pages.
    prefix = f"p{zlib.crc32(title.encode()):08x}-"
    text = re.sub(r'((?:\sid|href)="#?|url\(#)', rf"\g<1>{prefix}", text)
    labels = f'<title id="{prefix}title">{escape(title)}</title><desc id="{prefix}description">{escape(description)}</desc>'
    begin, _, rest = text.partition(">")
    return f'{begin} role="img" aria-labelledby="{prefix}title {prefix}description">{labels}{rest}'
