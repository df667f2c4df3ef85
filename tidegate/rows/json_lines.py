"""JSON Lines: a JSON object a line, with integers of any number of digits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from eventing.keys import GREATEST_INTEGER, LEAST_INTEGER, UnsupportedKey, key_text
from tidegate.rows.dialects import bounded_lines, encoding_of
from tidegate.rows.row import Reading, Row, UnreadableFile

# The shortest integer beyond 64 bits has nineteen digits.
_MANY_DIGITS = re.compile("[0-9]{19}")


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a file, each with the number of its line. Raises UnreadableFile."""
    encoding = encoding_of(path, reading.encoding)
    with path.open(encoding=encoding, newline="\n") as lines:
        for number, line in enumerate(bounded_lines(lines, path), 1):
            text = line.strip("\ufeff \t\r\n")
            if text:
                yield _json_row(text, f"line {number}", path, reading)


def _json_row(text: str, place: str, path: Path, reading: Reading) -> Row:
    try:
        data = orjson.loads(text)
        if _MANY_DIGITS.search(text):
            data = json.loads(text)  # which has no limit on integers
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{place} of {path} is not JSON: {error}", remedy="write one JSON object on each line") from None
    if not isinstance(data, dict):
        raise UnreadableFile(f"{place} of {path} is not a JSON object", remedy="write one JSON object on each line")
    event_id, key = _texts(data, place, path, reading)
    if _MANY_DIGITS.search(text):
        _check_integers(data, place, path, reading)
    return Row(place, data, event_id, key)


def _texts(data: dict[str, Any], place: str, path: Path, reading: Reading) -> tuple[str | None, str | None]:
    """The id, which is removed from the data, and the key, which stays in it."""
    event_id = _text(data.pop(reading.id_column, None), reading.id_column, place, path)
    if reading.key_column is None:
        return event_id, None
    if reading.key_column == reading.id_column:
        return event_id, event_id
    return event_id, _text(data.get(reading.key_column), reading.key_column, place, path)


def _text(value: Any, column: str, place: str, path: Path) -> str | None:
    try:
        return None if value is None else key_text(value)
    except (UnsupportedKey, ValueError) as error:
        raise UnreadableFile(
            f"{place} of {path}: the column {column} cannot identify a row, since {error}", remedy="use a column of strings or numbers"
        ) from None


def _check_integers(data: dict[str, Any], place: str, path: Path, reading: Reading) -> None:
    """Replace a key beyond 64 bits, which JSON readers would change, by its digits.

    Raises UnreadableFile for other integers of this size.
    """
    for name, value in data.items():
        if not _has_huge_integer(value):
            continue
        if name != reading.key_column or not isinstance(value, int):
            raise UnreadableFile(
                f"{place} of {path}: the column {name} has an integer beyond 64 bits, which JSON readers would change",
                remedy="write it in quotes, or with an exponent if it is a quantity",
            )
        data[name] = str(value)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, int):
        return not LEAST_INTEGER <= value <= GREATEST_INTEGER
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    return isinstance(value, list) and any(map(_has_huge_integer, value))
