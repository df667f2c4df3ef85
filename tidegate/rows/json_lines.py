"""JSON Lines: a JSON object a line, whose integers may have any number of digits."""

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

# Digits in a row from which a number of JSON may be an integer beyond 64 bits: the shortest has nineteen.
_MANY_DIGITS = re.compile("[0-9]{19}")


def read(path: Path, reading: Reading) -> Iterator[Row]:
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
            data = json.loads(text)  # whose integers have no limit
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{place} of {path} is not JSON: {error}; each line is one JSON object.") from None
    if not isinstance(data, dict):
        raise UnreadableFile(f"{place} of {path} is not a JSON object; each line is one.")
    event_id, key = _texts(data, place, path, reading)
    if _MANY_DIGITS.search(text):
        _check_integers(data, place, path, reading)
    return Row(place, data, event_id, key)


def _texts(data: dict[str, Any], place: str, path: Path, reading: Reading) -> tuple[str | None, str | None]:
    """The id, which is taken out, and the key, which stays."""
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
            f"{place} of {path}: the column {column} cannot name a row, since {error}; use one of strings or numbers."
        ) from None


def _check_integers(data: dict[str, Any], place: str, path: Path, reading: Reading) -> None:
    """Replaces a key that no reader of JSON would keep by its digits. Raises UnreadableFile for other integers of this size."""
    for name, value in data.items():
        if not _has_huge_integer(value):
            continue
        if name != reading.key_column or not isinstance(value, int):
            raise UnreadableFile(
                f"{place} of {path}: the column {name} has an integer beyond 64 bits, which readers of JSON would change;"
                " write it in quotes, or with an exponent if it is a quantity."
            )
        data[name] = str(value)


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, int):
        return not LEAST_INTEGER <= value <= GREATEST_INTEGER
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    return isinstance(value, list) and any(map(_has_huge_integer, value))
