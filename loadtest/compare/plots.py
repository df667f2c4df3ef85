"""The plots of a comparison: bars of the medians with a dot for each round, and the memory of the soak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from loadtest.compare.result import Comparison
from loadtest.compare.soak import Soak

# A server has one colour in all plots.
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


class Panel(NamedTuple):
    """Groups of bars with one bar for each server; `groups` are (label, scenario)."""

    title: str
    figure: str
    groups: tuple[tuple[str, str], ...]


_CONNECTIONS = (("1", "one-row-1"), ("8", "one-row-8"), ("64", "one-row-64"))
_MANY = (("JSON", "rows-json"), ("binary tensors", "rows-binary"))
PICTURES: dict[str, tuple[Panel, ...]] = {
    "one-row": (
        Panel("one row: requests/s by connections", "rate", _CONNECTIONS),
        Panel("one row: p99, ms by connections", "p99", _CONNECTIONS),
    ),
    "many-rows": (
        Panel("1,000 rows, 4 connections: requests/s", "rate", _MANY),
        Panel("1,000 rows, 4 connections: p99, ms", "p99", _MANY),
    ),
    "start-and-memory": (
        Panel("process start to first response, ms", "started_ms", (("", "cold-start"),)),
        Panel("resident memory after 10,000 requests, MB", "rss_mb", (("", "memory"),)),
        Panel("open loop at half of the maximum rate: p99, ms", "p99", (("", "open-loop"),)),
    ),
}


def draw(result: Comparison, folder: Path) -> list[Path]:
    """Write an SVG for each plot with figures; equal figures give equal files."""
    written = []
    for name, panels in PICTURES.items():
        if any(result.measured.figures.get(scenario) for panel in panels for _, scenario in panel.groups):
            figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
            axes = figure.subplots(1, len(panels), squeeze=False)[0]
            for one, panel in zip(axes, panels, strict=True):
                _panel(one, panel, result)
            written.append(_save(figure, folder / f"{name}.svg"))
    if result.soak:
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        _soak(figure.subplots(), result.soak)
        written.append(_save(figure, folder / "soak.svg"))
    return written


def _panel(axes: Axes, panel: Panel, result: Comparison) -> None:
    servers = result.shown()
    width = 0.8 / max(len(servers), 1)
    for number, server in enumerate(servers):
        for group, (_, scenario) in enumerate(panel.groups):
            values = result.measured.values(scenario, server.name, panel.figure)
            middle = result.measured.median(scenario, server.name, panel.figure)
            if middle is None:
                continue
            at = group - 0.4 + width * (number + 0.5)
            axes.bar(at, middle, width=0.9 * width, color=_COLOURS[number % len(_COLOURS)])
            axes.scatter([at] * len(values), values, s=8, color="black", zorder=3, linewidths=0)
            axes.annotate(
                _short(middle), (at, max(values)), ha="center", va="bottom", fontsize=8, xytext=(0, 2), textcoords="offset points"
            )
    axes.set_title(panel.title, fontsize=10)
    axes.set_xticks(range(len(panel.groups)), [label for label, _ in panel.groups])
    axes.margins(y=0.15)
    colours = zip(servers, _COLOURS, strict=False)
    axes.legend(handles=[Patch(color=colour, label=server.title) for server, colour in colours], fontsize=8)


def _soak(axes: Axes, soak: Soak) -> None:
    shown: Sequence[tuple[int, int]] = soak.samples[:: len(soak.samples) // 500 + 1]
    axes.plot([done / 1e6 for done, _ in shown], [size / 1e6 for _, size in shown])
    axes.set(xlabel="requests, millions", ylabel="resident memory, MB", ylim=(0, 1.2 * max(size for _, size in shown) / 1e6))
    axes.set_title(f"{soak.requests:,} requests at 64 connections: {soak.slope:+.2f} bytes per request over the second half", fontsize=10)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _save(figure: Figure, path: Path) -> Path:
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tidegate"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
