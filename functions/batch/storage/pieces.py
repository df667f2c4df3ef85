"""What a dataset is read as: files, pieces of their rows, and rows that cannot be read. Values, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a dataset.

    `name` is relative to the dataset, with slashes. `version` changes when the content does: `sha256:…` of a local
    file, the ETag of an object. `rows` is None where only reading the whole file shows it.
    """

    name: str
    location: str
    size: int
    version: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be read; `row` counts from 0, `position` is where a person finds it."""

    row: int
    position: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some consecutive rows of a file: `rows` from `first_row`, of which `batch` has those that were read and chosen."""

    batch: pa.RecordBatch
    first_row: int
    rows: int
    rejects: tuple[Reject, ...] = ()
    numbers: pa.Array | None = None
    """The row in the file of each row of `batch`, int64; None when `batch` has all rows."""

    def row_numbers(self) -> pa.Array:
        """Return the row in the file, from 0, of each row of `batch`."""
        if self.numbers is not None:
            return self.numbers
        return pa.array(range(self.first_row, self.first_row + self.rows), pa.int64())

    def rows_from(self, first: int, end: int | None) -> Piece | None:
        """Return the part of the piece within the rows `first` to `end`, None when it is empty."""
        start, stop = max(first, self.first_row), self.first_row + self.rows
        stop = stop if end is None else min(end, stop)
        if start >= stop:
            return None
        if (start, stop) == (self.first_row, self.first_row + self.rows):
            return self
        rejects = tuple(reject for reject in self.rejects if start <= reject.row < stop)
        if self.numbers is None:
            batch = self.batch.slice(start - self.first_row, stop - start)
            return replace(self, batch=batch, first_row=start, rows=stop - start, rejects=rejects)
        numbers = self.numbers.to_numpy()
        low, high = (int(found) for found in numbers.searchsorted([start, stop]))
        return replace(
            self,
            batch=self.batch.slice(low, high - low),
            first_row=start,
            rows=stop - start,
            rejects=rejects,
            numbers=self.numbers.slice(low, high - low),
        )
