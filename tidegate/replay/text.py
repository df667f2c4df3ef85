"""A replay as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.replay import document
from tidegate.replay.run import Replay

_SHOWN = 5


def show(found: Replay, report: Path, console: Console) -> None:
    """Print the figures, and where the report is."""
    console.print(f"{document.scope(found)}.", soft_wrap=True, markup=False)
    result = found.result
    console.print()
    console.print(_table("candidate", "stable", "events", rows=document.outcome_rows(found)))
    if result.agreement:
        console.print()
        console.print(_table(f"{found.score}: candidate minus stable", "", rows=document.agreement_rows(result.agreement)))
        if result.agreement.worst:
            console.print()
            console.print(_table(*document.WORST_HEAD, rows=map(document.worst_row, result.agreement.worst[:_SHOWN])))
    if result.failed:
        console.print()
        console.print(_table("rejected event", "stable", "reason", rows=map(document.failed_row, result.failed[:_SHOWN])))
    console.print()
    console.print(_table("latency", "", rows=document.latency_rows(found)))
    console.print()
    console.print(f"The report with plots is {report}.", soft_wrap=True, markup=False)


def _table(*head: str, rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in head:
        table.add_column(Text(title), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
