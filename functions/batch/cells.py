"""Conversion of the cells of an Arrow column to JSON values, and to canonical strings of keys. Pure functions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import types

from eventing.keys import GREATEST_INTEGER, LEAST_INTEGER, UnsupportedKey, key_text, plain_number

# JSON libraries limit the depth: orjson writes 254 levels.
_MAX_DEPTH = 100
# Exceptions of PyArrow for cells that Python cannot represent; an unknown time zone is a KeyError.
_UNREPRESENTABLE = (ValueError, OverflowError, KeyError, pa.ArrowException)
_ISO_MICROSECONDS = 26  # characters of 2013-01-02T05:00:00.000001


class InvalidCell(ValueError):
    """A cell has no JSON value, or no canonical string.

    `row` counts from 0. `reason` and `remedy` continue a sentence that begins with the name of the column.
    """

    def __init__(self, row: int, reason: str, *, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.row = row
        self.reason = reason
        self.remedy = remedy


def json_values(column: pa.Array) -> list[Any]:
    """Return the cells as JSON values: NaN becomes None, times become ISO 8601 strings. Raises InvalidCell."""
    found = _python_values(column)
    if _is_plain(column.type):
        return found
    return _each(found, _json_value)


def keys(column: pa.Array) -> list[str | None]:
    """Return the canonical string of each cell; None for null, NaN and an empty string. Raises InvalidCell."""
    found = _python_values(column)
    if is_text(column.type.value_type if types.is_dictionary(column.type) else column.type):  # by far the most keys
        return [text or None for text in found]
    return _each(found, lambda value: None if value is None else _key(value))


def _key(value: Any) -> str | None:
    try:
        return key_text(value) or None
    except UnsupportedKey as error:
        raise ValueError(f"a value without a canonical string ({error})") from None


def is_key(found: pa.DataType) -> bool:
    """Return whether the values of a type have a canonical string."""
    plain = found.value_type if types.is_dictionary(found) else found
    number = types.is_integer(plain) or types.is_floating(plain) or types.is_boolean(plain) or types.is_decimal(plain)
    time = types.is_date(plain) or types.is_timestamp(plain) or types.is_time(plain)
    return bool(number or time or is_text(plain) or types.is_null(plain))


def is_text(found: pa.DataType) -> bool:
    """Return whether a type is a string type."""
    return bool(types.is_string(found) or types.is_large_string(found) or types.is_string_view(found))


def _is_plain(found: pa.DataType) -> bool:
    """Return whether Python's value of a type is already a JSON value."""
    plain = found.value_type if types.is_dictionary(found) else found
    return bool(is_text(plain) or types.is_integer(plain) or types.is_boolean(plain) or types.is_null(plain))


def _python_values(column: pa.Array) -> list[Any]:
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_timestamp(column.type) or types.is_time(column.type):
        return _times(column)
    try:
        found = column.to_pylist()
    except _UNREPRESENTABLE:
        found = list(_one_by_one(column))
    return [None if value != value else value for value in found] if types.is_floating(column.type) else found


def _one_by_one(column: pa.Array) -> Iterator[Any]:
    """Yield the cells one by one. Raises InvalidCell for the first that Python cannot represent."""
    for row, cell in enumerate(column):
        try:
            yield cell.as_py()
        except UnicodeDecodeError:
            raise InvalidCell(row, "has a string that is not UTF-8", remedy="write the file again in UTF-8") from None
        except _UNREPRESENTABLE:
            reason = f"has a {column.type} that cannot be written, such as a year after 9999"
            raise InvalidCell(row, reason, remedy="fix it, or make it null") from None


def _times(column: pa.Array) -> list[Any]:
    """Return datetimes and times; those with nanoseconds, for which Python has no type, as strings."""
    if column.type.unit != "ns":
        return list(_one_by_one(column)) if _has_unrepresentable(column) else column.to_pylist()
    counts = column.cast(pa.int64()).to_pylist()
    micros = [None if count is None else count // 1000 for count in counts]
    coarse = pa.array(micros, pa.timestamp("us", column.type.tz) if types.is_timestamp(column.type) else pa.time64("us"))
    rests = [0 if count is None else count % 1000 for count in counts]
    return [_with_nanoseconds(time, rest) if rest else time for time, rest in zip(_times(coarse), rests, strict=True)]


def _has_unrepresentable(column: pa.Array) -> bool:
    """Return whether Python cannot represent a cell; the check takes as long as the conversion."""
    try:
        column.to_pylist()
    except _UNREPRESENTABLE:
        return True
    return False


def _with_nanoseconds(time: dt.datetime | dt.time, rest: int) -> str:
    text = time.isoformat(timespec="microseconds")
    end = _ISO_MICROSECONDS if isinstance(time, dt.datetime) else _ISO_MICROSECONDS - len("2013-01-02T")
    return f"{text[:end]}{rest:03d}{text[end:]}"


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    found = []
    for row, value in enumerate(values):
        try:
            found.append(convert(value))
        except ValueError as error:
            raise InvalidCell(row, f"has {error}", remedy="convert the column") from None
    return found


def _json_value(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return _nested(value, depth)


def _nested(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("values that are nested too deeply for JSON")
    if isinstance(value, dict):
        return {name: _json_value(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item, depth + 1) for item in value]
    raise ValueError(f"{type(value).__name__}, which JSON has no value for")


def _finite(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("an infinite number, which JSON cannot represent")
    return None if math.isnan(value) else value


def _integer(value: int) -> int:
    if not LEAST_INTEGER <= value <= GREATEST_INTEGER:
        raise ValueError("an integer beyond 64 bits, which JSON readers would change")
    return value


def _decimal(value: Decimal) -> int | float:
    number = plain_number(value)
    if number is None:
        raise ValueError("a decimal with more digits than JSON readers keep")
    return number
