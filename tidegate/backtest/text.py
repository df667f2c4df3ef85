"""A backtest as tables for a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tidegate.backtest.document import better, method, scope, shown
from tidegate.backtest.metrics import MetricComparison
from tidegate.backtest.run import Backtest


def show(found: Backtest, report: Path, console: Console) -> None:
    """Print the figures, and where the report is."""
    console.print(f"{scope(found)}.", soft_wrap=True, markup=False)
    console.print()
    console.print(_metrics(found))
    if found.analysis.slices:
        console.print()
        console.print(_slices(found))
    console.print()
    console.print(method(found), soft_wrap=True, markup=False)
    console.print(f"The report with plots is {report}.", soft_wrap=True, markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _metrics(found: Backtest) -> Table:
    table = _table("", found.first.title, found.second.title, "difference (95%)", "better")
    for item in found.analysis.metrics:
        table.add_row(
            item.metric.title,
            f"{item.first.value:.4f}",
            f"{item.second.value:.4f}",
            shown(item.difference, signed=True),
            better(item, found.first, found.second),
        )
    return table


def _slices(found: Backtest) -> Table:
    table = _table("slice", "rows", "true", "log loss, difference", "AUC, difference")
    for item in found.analysis.slices:
        by_name = {one.metric.name: one for one in item.metrics}
        share = f"{item.positives / item.rows:.1%}"
        cells = (_difference(by_name.get(name)) for name in ("log_loss", "auc"))
        table.add_row(f"{item.column} {item.value}", f"{item.rows:,}", share, *cells)
    table.caption, table.caption_justify = "* an interval that excludes 0", "left"
    return table


def _difference(item: MetricComparison | None) -> str:
    """Return the difference, marked if it is clear; without rows of both outcomes there is no AUC."""
    if item is None:
        return "-"
    return shown(item.difference, signed=True, digits=3) + (" *" if item.better is not None else "")
