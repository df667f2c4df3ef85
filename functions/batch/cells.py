"""The cells of an Arrow column as JSON values, and as the texts of keys. Pure functions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import types

from eventing.keys import GREATEST_INTEGER, LEAST_INTEGER, key_text, plain_number

# JSON writers and readers stop at some depth: orjson writes 254 levels.
_DEEPEST = 100
# What PyArrow raises for cells that Python has no value for; a time zone that is not known is a KeyError.
_UNWRITABLE = (ValueError, OverflowError, KeyError, pa.ArrowException)
_ISO_MICROSECONDS = 26  # characters of 2013-01-02T05:00:00.000001


class InvalidCell(ValueError):
    """A cell has no JSON value, or no text; the message ends a sentence that begins with its column. `row` counts from 0."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


def json_values(column: pa.Array) -> list[Any]:
    """Strings, numbers, bools, None and what is nested of them; NaN is None, times are ISO 8601. Raises InvalidCell."""
    found = _python_values(column)
    if _is_plain(column.type):
        return found
    return _each(found, _json_value)


def keys(column: pa.Array) -> list[str | None]:
    """The canonical text of each cell; None for null, NaN and an empty string, which are no keys. Raises InvalidCell."""
    return _each(_python_values(column), lambda value: None if value is None else key_text(value) or None)


def is_key(found: pa.DataType) -> bool:
    """Whether the values of a type have a canonical text."""
    plain = found.value_type if types.is_dictionary(found) else found
    number = types.is_integer(plain) or types.is_floating(plain) or types.is_boolean(plain) or types.is_decimal(plain)
    time = types.is_date(plain) or types.is_timestamp(plain) or types.is_time(plain)
    return bool(number or time or is_text(plain) or types.is_null(plain))


def is_text(found: pa.DataType) -> bool:
    return bool(types.is_string(found) or types.is_large_string(found) or types.is_string_view(found))


def _is_plain(found: pa.DataType) -> bool:
    """Whether Python's value is the JSON value already."""
    plain = found.value_type if types.is_dictionary(found) else found
    return bool(is_text(plain) or types.is_integer(plain) or types.is_boolean(plain) or types.is_null(plain))


def _python_values(column: pa.Array) -> list[Any]:
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_timestamp(column.type) or types.is_time(column.type):
        return _times(column)
    try:
        found = column.to_pylist()
    except _UNWRITABLE:
        found = list(_one_by_one(column))
    return [None if value != value else value for value in found] if types.is_floating(column.type) else found


def _one_by_one(column: pa.Array) -> Iterator[Any]:
    """Raises InvalidCell for the first cell that Python has no value for."""
    for row, cell in enumerate(column):
        try:
            yield cell.as_py()
        except UnicodeDecodeError:
            raise InvalidCell(row, "has a string that is not UTF-8; write the file again from text") from None
        except _UNWRITABLE:
            raise InvalidCell(
                row, f"has a {column.type} that cannot be written, as a year beyond 9999; correct it, or make it missing"
            ) from None


def _times(column: pa.Array) -> list[Any]:
    """Datetimes and times; those of nanoseconds, for which Python has no type, as their text."""
    if column.type.unit != "ns":
        return list(_one_by_one(column)) if _is_far(column) else column.to_pylist()
    counts = column.cast(pa.int64()).to_pylist()
    micros = [None if count is None else count // 1000 for count in counts]
    coarse = pa.array(micros, pa.timestamp("us", column.type.tz) if types.is_timestamp(column.type) else pa.time64("us"))
    rests = [0 if count is None else count % 1000 for count in counts]
    return [_with_nanoseconds(time, rest) if rest else time for time, rest in zip(_times(coarse), rests, strict=True)]


def _is_far(column: pa.Array) -> bool:
    """Whether Python may have no value for some of them; finding out costs as much as the values."""
    try:
        column.to_pylist()
    except _UNWRITABLE:
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
            raise InvalidCell(row, f"has {error}; convert the column") from None
    return found


def _json_value(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return _nested(value, depth)


def _nested(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("values that are nested too deeply for JSON")
    if isinstance(value, dict):
        return {name: _json_value(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item, depth + 1) for item in value]
    raise ValueError(f"{type(value).__name__}, which JSON has no value for")


def _finite(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("an infinite number, which JSON cannot carry")
    return None if math.isnan(value) else value


def _whole(value: int) -> int:
    if not LEAST_INTEGER <= value <= GREATEST_INTEGER:
        raise ValueError("an integer beyond 64 bits, which JSON readers would change")
    return value


def _decimal(value: Decimal) -> int | float:
    number = plain_number(value)
    if number is None:
        raise ValueError("a decimal with more digits than JSON readers keep")
    return number
