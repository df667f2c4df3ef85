"""Parquet: columns with types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from common.errors import TidegateError
from functions.batch import cells
from functions.batch.dataset import Reader
from functions.batch.storage.damage import DAMAGED
from tidegate.rows.row import Reading, Row, UnreadableFile, check_unique

_BATCH_ROWS = 4_096
_Convert = Callable[[Any], list[Any]]


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a file, each with the number of its row."""
    try:
        with closing(Reader(str(path))) as reader:
            check_unique(reader.schema.names, path)
            first = 1
            for batch in reader.chunks(_BATCH_ROWS):
                yield from _Batch(batch, first, path).rows(reading)
                first += batch.num_rows
    except UnreadableFile:
        raise
    except TidegateError as error:
        raise UnreadableFile(error.message, remedy=error.remedy) from None


def count(path: Path) -> int | None:
    """The number of rows in the file's metadata; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return int(pq.read_metadata(file).num_rows)
    except DAMAGED:
        return None


class _Batch:
    """A batch of rows; `first` is the number of its first row, from 1."""

    def __init__(self, batch: Any, first: int, path: Path) -> None:
        self._batch, self._first, self._path = batch, first, path
        self._names: list[str] = batch.schema.names

    def rows(self, reading: Reading) -> Iterator[Row]:
        nothing = [None] * self._batch.num_rows
        ids = self._texts(reading.id_column) or nothing
        keys = self._texts(reading.key_column) or nothing
        kept = [name for name in self._names if name != reading.id_column]
        columns = [self._data(name, keys if name == reading.key_column else None) for name in kept]
        values_of = zip(*columns, strict=True) if columns else iter([()] * len(nothing))
        for number, (values, event_id, key) in enumerate(zip(values_of, ids, keys, strict=True), self._first):
            data = {name: value for name, value in zip(kept, values, strict=True) if value is not None}
            yield Row(f"row {number}", data, event_id, key)

    def _texts(self, name: str | None) -> list[str | None] | None:
        return self._converted(name, cells.keys) if name in self._names else None

    def _data(self, name: str, texts: list[Any] | None) -> list[Any]:
        """The JSON values of a column. A key without one, such as a decimal of 30 digits, is its text."""
        try:
            return self._converted(name, cells.json_values)
        except UnreadableFile:
            if texts is None:
                raise
            return texts

    def _converted(self, name: str | None, convert: _Convert) -> list[Any]:
        try:
            return convert(self._batch.column(name))
        except cells.InvalidCell as error:
            raise UnreadableFile(f"row {self._first + error.row} of {self._path}: the column {name} {error}.") from None
