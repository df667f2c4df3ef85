"""Values in LightGBM's text format: lines of `name=value`, with numbers separated by spaces."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from functions.runtime.runtimes.structure.fault import Fault, check_length, within

_INTEGERS = re.compile(r"[-+\d ]*")
# Only Python reads others as a number, such as 1_000.
_NUMBERS = re.compile(r"[-+.\deE naif]*")
_LONGEST = 20


def fields(text: str, what: str, bare: Collection[str] = ()) -> dict[str, str]:
    """The fields of the lines. Raises Fault for a field that is given twice."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not line:
            continue
        if not equals and line not in bare:
            raise Fault(f"{what} has the line {line[:40]!r}, which is not a field")
        if name in found:
            raise Fault(f"{what} has {name[:40]} twice")
        found[name] = value
    return found


def integer(text: str, what: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """One integer within the bounds. Raises Fault."""
    return integers(text, what, 1, least, most)[0]


def integers(text: str, what: str, length: int | None, least: int = -(2**31), most: int = 2**31 - 1) -> list[int]:
    """Integers within the bounds, of `length` if it is given. Raises Fault."""
    parts = text.split(" ") if text else []
    if not _INTEGERS.fullmatch(text) or max(map(len, parts), default=0) > _LONGEST:
        raise Fault(f"{what} has values that are not integers")
    try:
        found = list(map(int, filter(None, parts)))
    except ValueError:
        raise Fault(f"{what} has values that are not integers") from None
    check_length(found, what, length)
    within(found, least, most, what)
    return found


def numbers(text: str, what: str, length: int) -> list[float]:
    """Numbers of this length; they may be NaN or infinite. Raises Fault."""
    try:
        found = list(map(float, filter(None, text.split(" ")))) if _NUMBERS.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise Fault(f"{what} has values that are not numbers")
    check_length(found, what, length)
    return found


def finite(values: list[float], what: str) -> None:
    """Raise Fault unless each value is finite."""
    if not all(map(math.isfinite, values)):
        raise Fault(f"{what} has a value that is not finite")
