"""The canonical text of a key: one value is written in one way, whichever part writes it, so that a key meets one revision everywhere.

Numbers follow the JSON Canonicalization Scheme (RFC 8785, section 3.2.2.3), in which 1.0 and 1 are one number; whole numbers beyond the
range of a double keep all their digits. Times follow RFC 3339, with a `T`, as the data of an event has them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

# Beyond these, a whole number has no 64-bit representation, and JSON readers turn it into a double.
LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**64 - 1
# Numbers at least as large, or smaller than the other, are written with an exponent (ECMA-262, Number::toString).
_LONGEST_WHOLE = 21
_MOST_ZEROS = 6


class NoKey(ValueError):
    """A value of this type has no canonical text; the message names the type."""


def key_text(value: Any) -> str:
    """The text of a string, bool, number, date or time. Raises NoKey for anything else, and for NaN and infinity."""
    write = _WRITERS.get(type(value)) or next((found for kind, found in _WRITERS.items() if isinstance(value, kind)), None)
    if write is None:
        raise NoKey(f"a {type(value).__name__} is no key")
    return write(value)


def plain_number(value: Decimal) -> int | float | None:
    """A decimal as a JSON number of the same value; None where neither a 64-bit integer nor a double has its value."""
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
        raise NoKey(f"{value} is no key")
    text = repr(float(value))
    if "e" not in text:
        return "0" if value == 0 else text.removesuffix(".0")
    sign, digits, exponent = Decimal(text).normalize().as_tuple()
    return ("-" if sign else "") + _of_digits("".join(map(str, digits)), len(digits) + int(exponent))


def _of_digits(digits: str, point: int) -> str:
    """`point` is where the decimal point stands, counted from the first digit (ECMA-262, Number::toString, step 6 and on)."""
    if len(digits) <= point <= _LONGEST_WHOLE:
        return digits.ljust(point, "0")
    if -_MOST_ZEROS < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def _of_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise NoKey(f"{value} is no key")
    number = plain_number(value)
    if number is not None:
        return key_text(number)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _of_time(value: dt.date | dt.time) -> str:
    return value.isoformat()


# In this order: a bool is an int, and a datetime a date.
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
