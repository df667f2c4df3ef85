"""Rows of a file: JSON Lines, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from common.errors import TidegateError
from tidegate.rows.row import Reading, Row, UnreadableFile

# The module of each file extension; PyArrow is imported for Parquet alone.
_READERS = {".jsonl": "json_lines", ".ndjson": "json_lines", ".csv": "delimited", ".tsv": "delimited", ".parquet": "parquet"}

# Reading without options.
PLAIN = Reading()

__all__ = ["PLAIN", "Reading", "Row", "UnreadableFile", "check_file", "count", "has_cells_of_text", "read"]


def read(path: Path, reading: Reading = PLAIN) -> Iterator[Row]:
    """The rows of a file. Raises UnreadableFile, which names the line or row, and the column if there is one."""
    module = _READERS.get(path.suffix.lower())
    if module is None:
        raise UnreadableFile(
            f"unsupported file {path}: must be one of {', '.join(_READERS)}", remedy="convert it, or rename it if it is one"
        )
    check_file(path)
    return _guarded(import_module(f"tidegate.rows.{module}").read(path, reading), path)


def check_file(path: Path) -> None:
    """Check that the path is a file that can be opened. Raises UnreadableFile."""
    from functions.batch.storage import paths

    try:
        paths.open_input(str(path)).close()
    except TidegateError as error:
        raise UnreadableFile(error.message, remedy=error.remedy) from None


def has_cells_of_text(path: Path) -> bool:
    """Whether all values of the file's format are text."""
    return _READERS.get(path.suffix.lower()) == "delimited"


def count(path: Path) -> int | None:
    """The number of rows; None if it is unknown before all are read."""
    if path.suffix.lower() != ".parquet":
        return None
    from tidegate.rows import parquet

    return parquet.count(path)


def _guarded(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    try:
        yield from rows
    except OSError as error:
        raise UnreadableFile(f"cannot read {path}: {(error.strerror or str(error)).rstrip('.')}", remedy="check the file") from None
