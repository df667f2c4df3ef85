"""Canonical strings of keys: every part writes a value in the same way, so that a key meets the same revision.

Numbers follow the JSON Canonicalization Scheme (RFC 8785, section 3.2.2.3), in which 1.0 and 1 are one number; integers
beyond the range of a double keep all their digits. Times follow RFC 3339, with a `T`, as in the data of an event.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

# Integers outside this range have no 64-bit representation, and JSON readers turn them into doubles.
LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**64 - 1
# Integers with more digits, and fractions with more leading zeros, are written with an exponent (ECMA-262,
# Number::toString).
_MAX_INTEGER_DIGITS = 21
_MAX_LEADING_ZEROS = 6


class UnsupportedKey(ValueError):
    """The value has no canonical string; the message names its type."""


def key_text(value: Any) -> str:
    """Return the canonical string of a string, boolean, number, date or time.

    Raises UnsupportedKey for any other type, and for NaN and infinity.
    """
    write = _WRITERS.get(type(value)) or next((found for kind, found in _WRITERS.items() if isinstance(value, kind)), None)
    if write is None:
        raise UnsupportedKey(f"a {type(value).__name__} cannot be a key")
    return write(value)


def plain_number(value: Decimal) -> int | float | None:
    """Return a decimal as a JSON number of the same value.

    None when neither a 64-bit integer nor a double has that value.
    """
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return int(value) if LEAST_INTEGER <= value <= GREATEST_INTEGER else None
    number = float(value)
    return number if Decimal(repr(number)) == value else None


def _of_bool(value: bool) -> str:
    return "true" if value else "false"


def _of_float(value: float) -> str:
    if not math.isfinite(value):
        raise UnsupportedKey(f"{value} cannot be a key")
    text = repr(float(value))
    if "e" not in text:
        return "0" if value == 0 else text.removesuffix(".0")
    sign, digits, exponent = Decimal(text).normalize().as_tuple()
    return ("-" if sign else "") + _of_digits("".join(map(str, digits)), len(digits) + int(exponent))


def _of_digits(digits: str, point: int) -> str:
    """Write digits with the decimal point after `point` of them (ECMA-262, Number::toString, step 6 and following)."""
    if len(digits) <= point <= _MAX_INTEGER_DIGITS:
        return digits.ljust(point, "0")
    if -_MAX_LEADING_ZEROS < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def _of_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise UnsupportedKey(f"{value} cannot be a key")
    number = plain_number(value)
    if number is not None:
        return key_text(number)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _of_time(value: dt.date | dt.time) -> str:
    return value.isoformat()


# The order matters for subclasses: bool is an int, and datetime is a date.
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: _of_bool,
    int: str,
    float: _of_float,
    Decimal: _of_decimal,
    dt.datetime: _of_time,
    dt.date: _of_time,
    dt.time: _of_time,
}
