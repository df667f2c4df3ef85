"""The report of a run: report.json for programs, report.md and plot.svg for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from loadtest.summary import Sample, Summary, summarize


@dataclass(frozen=True, slots=True)
class Run:
    """The parameters and the samples of a run.

    `rate` is in requests per second over all callers; None is the scenario's.
    """

    scenario: str
    url: str
    users: int
    rate: float | None
    seconds: float
    interrupted: bool
    samples: Sequence[Sample]


def write(run: Run, folder: Path) -> Summary:
    """Write the three files into a folder, which is created if missing."""
    from loadtest import plot  # imported late: matplotlib takes a second

    folder.mkdir(parents=True, exist_ok=True)
    summary = summarize(run.samples, run.seconds)
    asked = {"scenario": run.scenario, "url": run.url, "users": run.users, "rate": run.rate, "interrupted": run.interrupted}
    (folder / "report.json").write_bytes(orjson.dumps(asked | asdict(summary), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    (folder / "report.md").write_text(_markdown(run, summary), "utf-8")
    plot.draw(run.samples, f"{run.scenario}: {run.users} callers at {run.url}", folder / "plot.svg")
    return summary


def in_one_line(summary: Summary) -> str:
    """Return the main figures in one line."""
    latency = ", ".join(f"{name} {value:g} ms" for name, value in summary.latency_ms.items() if name in ("p50", "p99", "max"))
    figures = [f"{summary.requests_per_second:g} requests/s", latency, f"{summary.failures} of {summary.requests} failed"]
    return ", ".join(figure for figure in figures if figure)


def _markdown(run: Run, summary: Summary) -> str:
    rows = [
        ("callers", run.users),
        ("seconds", summary.seconds),
        ("requests", summary.requests),
        ("failures", summary.failures),
        ("answers per second", summary.requests_per_second),
        ("first response after, ms", summary.first_answer_ms),
        *((f"latency {name}, ms", value) for name, value in summary.latency_ms.items()),
        *((f"failed: {error}", count) for error, count in summary.errors.items()),
    ]
    stopped = "\nThe run was interrupted.\n" if run.interrupted else ""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"# {run.scenario}\n\n{run.url}\n{stopped}\n| | |\n|---|---|\n{table}\n\n![latency](plot.svg)\n"
