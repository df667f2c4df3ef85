"""The demo's results, as a JSON file and as a summary for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from functions.rollout.findings import number
from tidegate.demo.checks import Check

Report = dict[str, Any]


def percentiles(values: Sequence[float], *, maximum: bool = False) -> dict[str, float | None]:
    """p50 and p99, or p50 and the maximum, rounded to a tenth; None if there are no values."""
    name, high = ("max", 1.0) if maximum else ("p99", 0.99)
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, name: None}
    at = min(int(high * len(ordered)), len(ordered) - 1)
    return {"p50": round(statistics.median(ordered), 1), name: round(ordered[at], 1)}


def write(report: Report, path: Path) -> None:
    """Write the report as JSON; the file appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    part.replace(path)


def show(report: Report, checks: Sequence[Check], path: Path, console: Console) -> None:
    """Print the summary: the checks, then the figures."""
    promises = Table(title="What must hold", title_justify="left", box=None, pad_edge=False, show_header=False)
    for check in checks:
        promises.add_row("kept" if check.kept else "BROKEN", check.name, check.observed, style=None if check.kept else "bold red")
    console.print(promises)
    console.print()
    if report["rollout"]["decisions"]:
        console.print(_decisions(report))
        console.print()
    console.print(_arms(report))
    console.print()
    figures = Table(title="What was measured", title_justify="left", box=None, pad_edge=False, show_header=False)
    for name, value in _figures(report):
        figures.add_row(name, value)
    console.print(figures)
    console.print(f"\nThe whole report is in {path}.", soft_wrap=True)


def _decisions(report: Report) -> Table:
    """The rollout, step by step, with the evidence of each decision."""
    table = Table(title="How the rollout went", title_justify="left", box=None, pad_edge=False, show_header=False)
    for decision in report["rollout"]["decisions"]:
        evidence = f"e-value {number(decision['eValue'])} of {number(decision['threshold'])}" if decision["threshold"] else ""
        table.add_row(f"{decision['seconds']:.0f} s", f"{decision['percent']}%", decision["sentence"], evidence)
    return table


def _arms(report: Report) -> Table:
    table = Table(title="What the rollout function saw of both versions", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in ("keys", "requests", "failed", "labelled keys", "log loss", "error rate"):
        table.add_column(name, justify="right")
    for arm in report["rollout"]["arms"]:
        counts = (arm["keys"], arm["requests"], arm["failed"], arm["labelled_keys"])
        loss, wrong = arm["log_loss"], arm["error_rate"]
        quality = ("-" if loss is None else f"{loss:.4f}", "-" if wrong is None else f"{wrong:.2%}")
        table.add_row(arm["version"], *(f"{count:,}" for count in counts), *quality)
    return table


def _figures(report: Report) -> list[tuple[str, str]]:
    lines = [
        (
            "stream",
            f"{report['events_in']:,} events in, {report['labels']:,} labels; after the decision {_rate(report['events_per_second'])}",
        ),
        ("published to scored, in a backlog", f"p50 {_ms(report['latency_ms']['p50'])}, p99 {_ms(report['latency_ms']['p99'])}"),
    ]
    if found := report.get("roll_back"):
        lines += [
            (
                "from the start to the roll-back",
                f"{found['seconds']:.1f} s, {found['requests']:,} requests, {found['labelled_keys']:,} labelled keys",
            ),
            (
                "keys with an answer of the canary",
                f"{found['affected_keys']:,} of {found['keys']:,}, {found['affected_requests']:,} answers",
            ),
        ]
    if cold := report.get("cold_start_ms"):
        lines.append(("cold start of the model function", f"p50 {_ms(cold['p50'])}, max {_ms(cold['max'])}"))
    if "batch_rows" in report:
        lines.append(("batch", f"{report['batch_rows']:,} rows, {report['batch_rows_per_second']:,.0f} a second"))
    if tested := report.get("backtest"):
        lines.append(("backtest", f"{tested['rows']:,} rows by both versions in {tested['seconds']:.1f} s"))
    for version, quality in report["versions"].items():
        lines.append(
            (f"{version} on {quality['events']:,} known outcomes", f"log loss {quality['log_loss']:.4f}, AUC {quality['auc']:.4f}")
        )
    memory = ", ".join(f"{name} {mib:.0f}" for name, mib in report["peak_rss_mib"].items())
    return [*lines, ("peak memory, MiB", memory), ("Kafka", report["kafka"]), ("seconds in all", f"{report['seconds']:.1f}")]


def _rate(value: float | None) -> str:
    return "none" if value is None else f"{value:,.0f} a second"


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.0f} ms"
