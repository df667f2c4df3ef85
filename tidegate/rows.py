"""Rows of a file, one by one: JSON Lines, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from eventing.errors import TidegateError

Row = dict[str, Any]


class UnreadableFile(TidegateError):
    """A file is not there, or is not what its name says."""


def read(path: Path) -> Iterator[Row]:
    """The rows of a file as JSON objects. Raises UnreadableFile, naming the line where there is one."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableFile(f"{path} is none of {', '.join(_READERS)}; convert it, or rename it if it is one.")
    if not path.is_file():
        raise UnreadableFile(f"there is no file {path}; check the path.")
    return reader(path)


def count(path: Path) -> int | None:
    """How many rows there are, where it can be told without reading them all."""
    if path.suffix.lower() != ".parquet":
        return None
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError):
        return None


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise UnreadableFile(f"line {number} of {path} is not JSON: {error}; each line is one JSON object.") from None
            if not isinstance(row, dict):
                raise UnreadableFile(f"line {number} of {path} is no JSON object; each line is one.")
            yield row


def _csv(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        with csv.open_csv(path) as batches:
            for batch in batches:
                yield from _rows_of(batch)
    except pa.ArrowInvalid as error:
        raise UnreadableFile(f"{path} is no CSV file with a header: {' '.join(str(error).split())}.") from None


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(4_096):
                yield from _rows_of(batch)
    except pa.ArrowInvalid as error:
        raise UnreadableFile(f"{path} is no Parquet file: {' '.join(str(error).split())}.") from None


def _rows_of(batch: Any) -> Iterator[Row]:
    for row in batch.to_pylist():
        yield {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items() if value is not None}


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
