"""Output of the findings: a line each, grouped, with the remedy on the next line; or a JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from tidegate.doctor.finding import Finding, Level, shortened
from tidegate.doctor.run import GroupedFinding

_MARKS = {
    Level.OK: ("ok", "green"),
    Level.NOTE: ("note", "dim"),
    Level.WARNING: ("warn", "yellow"),
    Level.ERROR: ("FAIL", "bold red"),
}
_REMEDY = "      Try this: "


def show(found: Iterable[GroupedFinding], console: Console) -> Counter[Level]:
    """Print each finding at once; return how many there were of each level."""
    counts: Counter[Level] = Counter()
    last = ""
    for group, finding in found:
        if group != last:
            console.print(Text(f"{group[0].upper()}{group[1:]}", style="bold"), soft_wrap=True)
            last = group
        for line in lines(finding):
            console.print(line, soft_wrap=True)
        counts[finding.level] += 1
    console.print(summary(counts), soft_wrap=True, markup=False)
    return counts


def lines(finding: Finding) -> list[Text]:
    mark, style = _MARKS[finding.level]
    shown = [Text.assemble(("  " + mark.ljust(4), style), f"  {finding.subject}: {shortened(finding.message)}")]
    if finding.remedy:
        shown.append(Text(f"{_REMEDY}{finding.remedy}"))
    return shown


def summary(counts: Counter[Level]) -> str:
    errors, warnings = counts[Level.ERROR], counts[Level.WARNING]
    if errors:
        return f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}."
    return f"Nothing is wrong; {_counted(warnings, 'warning')}." if warnings else "Nothing is wrong."


def document(found: list[GroupedFinding]) -> dict[str, Any]:
    """The findings as a JSON value."""
    findings = [{"group": group, **asdict(finding)} for group, finding in found]
    return {"errors": sum(finding.level is Level.ERROR for _, finding in found), "findings": findings}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
