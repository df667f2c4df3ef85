"""November 2013, which is scored as a batch: its files, and what a batch must make of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functions.flights.departures import to_parquet
from tidegate.demo import checks
from tidegate.demo.checks import Check

MONTH = 11

Rows = dict[str, tuple[str, float]]
"""The revision and the score of each row, by its id."""


@dataclass(slots=True)
class November:
    """The month in a folder. `expected` are the offline scores of the revisions to which the first batch gave the rows."""

    folder: Path
    rows: int
    expected: Rows = field(default_factory=dict)

    @classmethod
    def write(cls, folder: Path) -> November:
        """Write the month into a new folder, in the place of an earlier one."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return cls(folder, to_parquet(MONTH, folder / "november.parquet"))

    @property
    def source(self) -> Path:
        """The whole month in one file."""
        return self.folder / "november.parquet"

    def by_day(self) -> Path:
        """Write a file for each day of the month into a folder, and return that."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        folder, table = self.folder / "days", pq.read_table(self.source)
        folder.mkdir()
        days = pc.utf8_slice_codeunits(table["scheduled_departure"], 0, 10)
        for day in pc.unique(days):
            pq.write_table(table.filter(pc.equal(days, day)), folder / f"{day}.parquet")
        return folder

    def records(self) -> list[dict[str, Any]]:
        """The rows, without their missing values."""
        import pyarrow.parquet as pq

        return [{name: value for name, value in row.items() if value is not None} for row in pq.read_table(self.source).to_pylist()]

    def check(self, name: str, output: Output) -> list[Check]:
        """Compare the output of a batch with the expected scores."""
        complete = output.rows == self.rows == len(output.scores)
        served = [output.scores.get(id_) for id_ in self.expected]
        return [
            Check(f"{name}: every row is scored", complete, f"{output.rows:,} of {self.rows:,}"),
            checks.equal(f"{name}: scores equal offline scores", served, self.expected.values()),
        ]


@dataclass(frozen=True, slots=True)
class Output:
    """What a batch has written: the number of its rows, and the scores by id."""

    rows: int
    scores: Rows

    @classmethod
    def read(cls, path: Path) -> Output:
        """Read a file, or a folder of files; without one, there is no row."""
        import pyarrow.parquet as pq

        if not path.exists():
            return cls(0, {})
        table = pq.read_table(path, columns=["id", "revision", "late"])
        scores = zip(table["revision"].to_pylist(), table["late"].to_pylist(), strict=True)
        return cls(table.num_rows, dict(zip(table["id"].to_pylist(), scores, strict=True)))
