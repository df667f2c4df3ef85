"""A batch by a command: a month of flights from one Parquet file into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.demo import checks
from tidegate.demo.control import Workbench
from tidegate.demo.december import December, Output, Rows
from tidegate.demo.offline import Offline
from tidegate.demo.results import Results
from tidegate.demo.rollout import CANARY, MODEL, STABLE, WEIGHT
from tidegate.progress import ProgressReporter


def score_batch(workbench: Workbench, folder: Path, offline: Offline, results: Results, reporter: ProgressReporter) -> December:
    """Score December by `tidegate batch`. Returns the month with its expected scores, for the batches after it."""
    reporter.step("Scoring December 2013 as a batch, from one Parquet file into another")
    december = December.write(folder)
    target = folder / "scored.parquet"
    summary = workbench.command("batch", str(december.source), str(target), "--model", MODEL, "--key", "tailnum")
    output = Output.read(target)
    records = [record for record in december.records() if record["id"] in output.scores]
    versions = dict(zip(sorted({revision for revision, _ in output.scores.values()}), (STABLE, CANARY), strict=False))
    december.expected = _expected(records, output.scores, versions, offline)
    results.checks += december.check("batch", output)
    arms = checks.by_key((record["tailnum"], versions[output.scores[record["id"]][0]]) for record in records)
    results.checks += checks.canary("batch", arms, CANARY, WEIGHT)
    results.report["batch_rows"] = december.rows
    results.report["batch_rows_per_second"] = round(december.rows / summary["seconds"], 1)
    return december


def _expected(records: Sequence[Mapping[str, Any]], scored: Rows, versions: Mapping[str, str], offline: Offline) -> Rows:
    """The offline score of each row by the revision that has scored it."""
    expected: Rows = {}
    for revision, version in versions.items():
        mine = [record for record in records if scored[record["id"]][0] == revision]
        scores = offline.scores(version, mine).tolist()
        expected |= {record["id"]: (revision, score) for record, score in zip(mine, scores, strict=True)}
    return expected
