"""Cells of text as values: by the datatype of a model's input, else by one rule for all cells. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from eventing.keys import GREATEST_INTEGER, LEAST_INTEGER

Read = Callable[[str], Any]

# Digits of an integer of 64 bits, and a sign.
_LONGEST_INTEGER = 21
_INTEGER = re.compile(r"[+-]?[0-9]+")
# What C's strtod, and so every program, writes and reads: digits with a point anywhere or none, and an exponent of any length.
_FLOATING = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Digits that begin with a 0 and have another behind it are a code and no number: JSON has none such (RFC 8259, section 6).
_CODE = re.compile(r"[+-]?0[0-9]")
# What most numbers look like; they need no second look.
_SIMPLE = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?")
_FIRST = frozenset("+-.0123456789")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BITS = {"1": True, "0": False}
# What stands for a missing number: the null_values of PyArrow's CSV reader.
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
    """A cell is not what the model's input takes; the message says what that is."""


def by_form(text: str) -> Any:
    """A cell of which nothing is known: a number if it has the form of one and readers of JSON keep its value, else true, false or text.

    Digits behind a leading zero, and whole numbers beyond 64 bits, stay text.
    """
    if text[0] not in _FIRST:
        return _BOOLS.get(text, text) if text in ("true", "false") else text
    if _SIMPLE.fullmatch(text):
        return float(text) if "." in text else int(text)
    if not _FLOATING.fullmatch(text) or _CODE.match(text):
        return text
    number = _number(text)
    whole = _INTEGER.fullmatch(text) is not None
    return text if math.isinf(number) or (whole and not LEAST_INTEGER <= number <= GREATEST_INTEGER) else number


def reader_of(datatype: str) -> Read:
    """How to read the cells of an input of this Open Inference datatype. What it returns is None for a missing value.

    It raises NotOfType.
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
    """An integer where it is one of 64 bits; the nearest double of anything else, infinity beyond the largest."""
    if len(text) <= _LONGEST_INTEGER and _INTEGER.fullmatch(text):
        number = int(text)
        if LEAST_INTEGER <= number <= GREATEST_INTEGER:
            return number
    return float(text)
