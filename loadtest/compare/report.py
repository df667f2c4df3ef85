"""The report of a comparison, as text for a terminal and as Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from loadtest.compare.bars import LIGHTGBM, Verdict, verdicts
from loadtest.compare.model import DEPTH, FEATURES, TREES
from loadtest.compare.result import Comparison, Shown
from loadtest.compare.servers import OURS


class Line(NamedTuple):
    title: str
    scenario: str
    figure: str
    digits: int = 0


LINES = (
    Line("one row, JSON, 1 connection: requests/s", "one-row-1", "rate"),
    Line("p99, ms", "one-row-1", "p99", 2),
    Line("one row, JSON, 8 connections: requests/s", "one-row-8", "rate"),
    Line("p99, ms", "one-row-8", "p99", 2),
    Line("one row, JSON, 64 connections: requests/s", "one-row-64", "rate"),
    Line("p99, ms", "one-row-64", "p99", 2),
    Line("1,000 rows, JSON, 4 connections: requests/s", "rows-json", "rate", 1),
    Line("p99, ms", "rows-json", "p99", 2),
    Line("1,000 rows, binary tensors, 4 connections: requests/s", "rows-binary", "rate", 1),
    Line("p99, ms", "rows-binary", "p99", 2),
    Line("one row, open loop at half of the server's maximum rate: requests/s", "open-loop", "rate"),
    Line("p50, ms", "open-loop", "p50", 2),
    Line("p99, ms", "open-loop", "p99", 2),
    Line("delay caused by the load generator, p99, ms", "open-loop", "late_p99", 2),
    Line("process start to first response, ms", "cold-start", "started_ms"),
    Line("resident memory after 10,000 requests, MB", "memory", "rss_mb"),
    Line("proportional set size (PSS) after 10,000 requests, MB", "memory", "pss_mb"),
    Line("LightGBM, one row, 1 connection: p50, ms", LIGHTGBM, "request", 3),
    Line("the library call alone, ms", LIGHTGBM, "library", 3),
    Line("added by the function, including the round trip, ms", LIGHTGBM, "added", 3),
    Line("round trip to a no-op server: p50, ms", LIGHTGBM, "round_trip", 3),
)


def text(result: Comparison) -> str:
    parts = [_aligned(figures(result)), _aligned(bars(result)), *(f"- {note}" for note in notes(result))]
    return "\n\n".join(parts[:2]) + "\n\n" + "\n".join(parts[2:])


def markdown(result: Comparison) -> str:
    comment = "<!-- written by `python -m loadtest.compare`; run it again instead of editing this file -->"
    lines = [comment, "", *_markdown(figures(result)), ""]
    lines += [*_markdown(bars(result)), "", *(f"- {note}" for note in notes(result)), ""]
    return "\n".join(lines)


def write(result: Comparison, docs: Path) -> list[Path]:
    """Write `DOCS/performance/comparison.md` and the plots beside it; return their paths."""
    from loadtest.compare import plots  # imported late: matplotlib takes a second

    folder = docs / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "comparison.md"
    page.write_text(markdown(result), "utf-8")
    return [page, *plots.draw(result, folder)]


def figures(result: Comparison) -> list[list[str]]:
    """Return the medians with their ranges, and the function's figures relative to each other server's."""
    servers = result.shown()
    others = [server for server in servers if server.name != OURS]
    table = [["", *(server.title for server in servers), *(f"Tidegate / {server.title}" for server in others)]]
    for line in LINES:
        cells = [_cell(result, line, server) for server in servers]
        if any(cells):
            table.append(
                [line.title, *cells, *(_times(result.measured.ratio(line.scenario, OURS, item.name, line.figure)) for item in others)]
            )
    return table


def bars(result: Comparison) -> list[list[str]]:
    rows = [[item.bar.title, _limit(item), _value(item), item.outcome] for item in verdicts(result)]
    return [["target", "limit", "measured", "result"], *rows]


def notes(result: Comparison) -> list[str]:
    """Return the conditions of the measurement, and remarks on figures."""
    machine, ceiling = result.machine, ", ".join(f"{connections}: {rate:,.0f}" for connections, rate in result.ceiling.items())
    found = [
        f"Model: XGBoost, {TREES} trees, depth {DEPTH}, {FEATURES} features, binary:logistic."
        " All servers returned the scores of the library, within 1e-6.",
        f"Machine: {machine['cpu']}, {machine['system']}, Python {machine['python']}; load average before the run: {machine['load']}."
        f" Started at {result.began}.",
        f"{result.rounds} rounds with {result.seconds:g} s per measurement, interleaved, each starting with a different server;"
        " medians (minimum to maximum), ratios within a round. One server is under load at a time, the others are idle."
        " All servers run with their defaults.",
        "Closed loop: keep-alive connections, and the status of every response is checked. Open loop: Poisson arrivals, latencies"
        " measured from the scheduled time of a request. Cold starts read their files from the page cache.",
    ]
    if ceiling:
        found.append(
            f"Maximum rate of the load generator against a no-op server, requests/s by connections: {ceiling} (one connection is limited"
            f" by the round trip). In the comparison, the load generator used at most {_busiest(result):.0%} of a core."
        )
    for server in result.servers:
        installed = ", ".join(f"{name} {version}" for name, version in server.versions.items())
        found += [f"{server.title}: {installed}."] if installed else []
        found += [f"{server.title}: {note}." for note in server.notes]
        found += [f"{server.title} was not measured: {server.missing}."] if server.missing else []
    found += [f"{name} failed and was not measured further: {reason}." for name, reason in result.measured.failed.items()]
    if result.soak:
        soak = result.soak
        found.append(f"Soak: {soak.requests:,} requests at 64 connections in {soak.seconds:,.0f} s, {soak.errors} failed.")
    failed = {scenario: errors for scenario in result.measured.figures if (errors := result.measured.errors(scenario, OURS))}
    found += [f"Failed requests to Tidegate in {scenario}: {errors:,}." for scenario, errors in failed.items()]
    if result.interrupted:
        found.append("The run was interrupted; the figures are incomplete.")
    return found


def _busiest(result: Comparison) -> float:
    entries = [entry for servers in result.measured.figures.values() for found in servers.values() for entry in found]
    return max((entry.get("busy", 0.0) for entry in entries), default=0.0)


def _cell(result: Comparison, line: Line, server: Shown) -> str:
    values = sorted(result.measured.values(line.scenario, server.name, line.figure))
    middle = result.measured.median(line.scenario, server.name, line.figure)
    if middle is None:
        return ""
    shown = f"{middle:,.{line.digits}f} ({values[0]:,.{line.digits}f} to {values[-1]:,.{line.digits}f})"
    errors = result.measured.errors(line.scenario, server.name)
    return f"{shown}, {errors:,} failed" if errors else shown


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.1f}" if ratio >= 0.95 else f"1/{1 / ratio:.1f}" if ratio > 0 else "0"


def _limit(verdict: Verdict) -> str:
    bar = verdict.bar
    return f"{'at least' if bar.at_least else 'at most'} {_times(bar.limit) if bar.ratio else f'{bar.limit:g}'} {bar.unit}".strip()


def _value(verdict: Verdict) -> str:
    if verdict.value is None:
        return ""
    shown = _times(verdict.value) if verdict.bar.ratio else f"{verdict.value:.3g} {verdict.bar.unit}"
    return f"{shown}, {verdict.errors:,} failed" if verdict.errors else shown


def _markdown(table: Sequence[Sequence[str]]) -> list[str]:
    head, *rows = [f"| {' | '.join(row)} |" for row in table]
    return [head, f"|{'---|' * len(table[0])}", *rows]


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
