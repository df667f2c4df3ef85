"""Rows of a file, one by one: JSON Lines, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from common.errors import TidegateError
from tidegate.rows.row import Reading, Row, UnreadableFile

# The module that reads a file with such an ending; PyArrow is imported for Parquet alone.
_READERS = {".jsonl": "json_lines", ".ndjson": "json_lines", ".csv": "delimited", ".tsv": "delimited", ".parquet": "parquet"}

# Nothing but what a file is read by without options.
PLAIN = Reading()

__all__ = ["PLAIN", "Reading", "Row", "UnreadableFile", "check_file", "count", "has_cells_of_text", "read"]


def read(path: Path, reading: Reading = PLAIN) -> Iterator[Row]:
    """The rows of a file. Raises UnreadableFile, naming line or row, and column, where there is one."""
    module = _READERS.get(path.suffix.lower())
    if module is None:
        raise UnreadableFile(f"{path} is none of {', '.join(_READERS)}; convert it, or rename it if it is one.")
    check_file(path)
    return _guarded(import_module(f"tidegate.rows.{module}").read(path, reading), path)


def check_file(path: Path) -> None:
    """Raises UnreadableFile unless it is a file that can be opened."""
    from functions.batch import paths

    try:
        paths.open_input(str(path)).close()
    except TidegateError as error:
        raise UnreadableFile(str(error)) from None


def has_cells_of_text(path: Path) -> bool:
    """Whether the values of this format have no types of their own."""
    return _READERS.get(path.suffix.lower()) == "delimited"


def count(path: Path) -> int | None:
    """How many rows there are, where it can be told without reading them all."""
    if path.suffix.lower() != ".parquet":
        return None
    from tidegate.rows import parquet

    return parquet.count(path)


def _guarded(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    try:
        yield from rows
    except OSError as error:
        raise UnreadableFile(f"cannot read {path}: {(error.strerror or str(error)).rstrip('.')}; check the file.") from None
