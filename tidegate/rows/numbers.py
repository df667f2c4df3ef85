"""Conversion of text cells to values: by the datatype of a model's input, or by one rule for all other cells."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from eventing.keys import GREATEST_INTEGER, LEAST_INTEGER

Read = Callable[[str], Any]

# The digits of an integer of 64 bits, and a sign.
_MAX_INTEGER_CHARACTERS = 21
_INTEGER = re.compile(r"[+-]?[0-9]+")
# The format of C's strtod, which all programs read: digits with an optional point anywhere, and an optional exponent.
_FLOATING = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# A 0 followed by another digit begins a code rather than a number; JSON numbers cannot (RFC 8259, section 6).
_CODE = re.compile(r"[+-]?0[0-9]")
# The form of most numbers, which needs no further checks.
_SIMPLE = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?")
_FIRST = frozenset("+-.0123456789")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BITS = {"1": True, "0": False}
# Missing numbers: the null_values of PyArrow's CSV reader.
MISSING = frozenset(
    {
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "n/a",
        "nan",
        "null",
    }
)


class NotOfType(ValueError):
    """A cell does not have the datatype of the model's input; the message names what the input takes."""


def by_form(text: str) -> Any:
    """Convert a cell of unknown type: a number if JSON readers keep its value, else true, false or a string.

    Digits after a leading zero, and integers beyond 64 bits, stay a string.
    """
    if text[0] not in _FIRST:
        return _BOOLS.get(text, text) if text in ("true", "false") else text
    if _SIMPLE.fullmatch(text):
        return float(text) if "." in text else int(text)
    if not _FLOATING.fullmatch(text) or _CODE.match(text):
        return text
    number = _number(text)
    is_integer = _INTEGER.fullmatch(text) is not None
    return text if math.isinf(number) or (is_integer and not LEAST_INTEGER <= number <= GREATEST_INTEGER) else number


def reader_of(datatype: str) -> Read:
    """The conversion of cells for an input of this Open Inference datatype.

    It returns None for a missing value, and raises NotOfType.
    """
    if datatype == "BYTES":
        return str
    return _bool if datatype == "BOOL" else _numeric


def _numeric(text: str) -> int | float | None:
    if _SIMPLE.fullmatch(text):
        return float(text) if "." in text else int(text)
    text = text.strip()
    if not text or text in MISSING:
        return None
    if not _FLOATING.fullmatch(text):
        raise NotOfType("a number, such as 7.5 or 1e-3")
    number = _number(text)
    if math.isinf(number):
        raise NotOfType("a number that a double holds")
    return number


def _bool(text: str) -> bool | None:
    text = text.strip()
    if not text or text in MISSING:
        return None
    found = _BOOLS.get(text, _BITS.get(text))
    if found is None:
        raise NotOfType("true or false")
    return found


def _number(text: str) -> int | float:
    """An integer of 64 bits, or the nearest double of any other number, which is infinity beyond the largest."""
    if len(text) <= _MAX_INTEGER_CHARACTERS and _INTEGER.fullmatch(text):
        number = int(text)
        if LEAST_INTEGER <= number <= GREATEST_INTEGER:
            return number
    return float(text)
