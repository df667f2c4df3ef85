"""A batch by a command: a month of flights from one Parquet file into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.demo.checks import Check
from tidegate.demo.control import Workbench
from tidegate.demo.november import November, Output, Rows
from tidegate.demo.offline import Offline
from tidegate.demo.results import Results
from tidegate.demo.rollout import MODEL, Rollout
from tidegate.progress import ProgressReporter


def score_batch(
    workbench: Workbench, rollout: Rollout, folder: Path, offline: Offline, results: Results, reporter: ProgressReporter
) -> November:
    """Score November by `tidegate batch`. Returns the month with its expected scores, for the batches after it."""
    reporter.step("Scoring November 2013 as a batch, from one Parquet file into another")
    november = November.write(folder)
    target = folder / "scored.parquet"
    summary = workbench.command("batch", str(november.source), str(target), "--model", MODEL, "--key", "tailnum")
    output = Output.read(target)
    records = [record for record in november.records() if record["id"] in output.scores]
    versions = {revision: version for version, revision in rollout.revisions.items()}
    november.expected = _expected(records, output.scores, versions, offline)
    results.checks += november.check("batch", output)
    answered = {versions[revision] for revision, _ in output.scores.values()}
    results.checks.append(Check(f"batch: {rollout.canary} scores all", answered == {rollout.canary}, ", ".join(sorted(answered))))
    results.report["batch_rows"] = november.rows
    results.report["batch_rows_per_second"] = round(november.rows / summary["seconds"], 1)
    return november


def _expected(records: Sequence[Mapping[str, Any]], scored: Rows, versions: Mapping[str, str], offline: Offline) -> Rows:
    """The offline score of each row by the revision that has scored it."""
    expected: Rows = {}
    for revision, version in versions.items():
        mine = [record for record in records if scored[record["id"]][0] == revision]
        if not mine:
            continue
        scores = offline.scores(version, mine).tolist()
        expected |= {record["id"]: (revision, score) for record, score in zip(mine, scores, strict=True)}
    return expected
