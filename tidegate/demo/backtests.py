"""A backtest of both versions on December, whose outcomes are known."""

from __future__ import annotations

from pathlib import Path

from functions.flights.departures import to_parquet
from tidegate.demo import batch_checks
from tidegate.demo.control import Workbench
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, STABLE
from tidegate.progress import ProgressReporter

MONTH = 12


def compare_versions(workbench: Workbench, folder: Path, results: Results, reporter: ProgressReporter) -> None:
    """Run `tidegate backtest` with the flights of one day as a cluster, since a storm makes all of them late."""
    reporter.step(f"Backtesting {STABLE} and {CANARY} on December 2013, whose outcomes are known")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    source, page = folder / "outcomes.parquet", workbench.state_dir / "backtest.html"
    to_parquet(MONTH, source, outcomes=True)
    words = ["--model", MODEL, "--revisions", f"{STABLE},{CANARY}", "--label", "late", "--drop-unknown", "--cluster", "day"]
    found = workbench.command("backtest", str(source), *words, "--report", str(page))
    reporter.say(f"  the report is in {found['report']}")
    log_loss = found["metrics"]["log_loss"]
    results.checks += batch_checks.backtest(log_loss)
    results.report["backtest"] = {"rows": found["rows"], "report": found["report"], "log_loss": log_loss, "seconds": found["seconds"]}
