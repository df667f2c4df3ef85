"""Rows of a file, one by one: JSON Lines, CSV or Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from eventing.errors import TidegateError

Row = dict[str, Any]

# A number as JSON writes it (RFC 8259, section 6), short enough for a double to hold every digit.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?")
_BOOLEANS = {"true": True, "false": False}


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
    """What is written as JSON writes numbers and booleans becomes one; the rest stays the text that it is, a code like 00123 included."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            for number, cells in enumerate(csv.DictReader(file, strict=True), 2):
                if None in cells or None in cells.values():
                    raise UnreadableFile(f"line {number} of {path} has other columns than its header; mend the line.")
                yield {name: _from_text(text) for name, text in cells.items() if text != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            raise UnreadableFile(f"{path} is no CSV file in UTF-8 with a header: {error}.") from None


def _from_text(text: str) -> Any:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return orjson.loads(text) if _NUMBER.fullmatch(text) else text


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(4_096):
                yield from _rows_of(batch)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(f"{path} is no Parquet file: {' '.join(str(error).split())}.") from None


def _rows_of(batch: Any) -> Iterator[Row]:
    for row in batch.to_pylist():
        yield {name: _from_arrow(name, value) for name, value in row.items() if value is not None}


def _from_arrow(name: str, value: Any) -> Any:
    """A JSON value. Raises UnreadableFile, naming the column."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    try:
        orjson.dumps(value)
    except TypeError:
        raise UnreadableFile(
            f"the column {name} holds {type(value).__name__}, which JSON has no value for; cast it to text or numbers."
        ) from None
    return value


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
