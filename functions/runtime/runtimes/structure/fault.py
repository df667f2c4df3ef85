"""The error of a damaged model file, and checks of single values."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any

LARGEST_FLOAT32 = 3.4028234663852886e38
_INTEGER = re.compile(r"-?\d{1,18}")


class Fault(ValueError):
    """A model file contradicts itself. The message is a clause that continues "the file is damaged: "."""


def mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Fault(f"{what} is not an object")
    return value


def get(document: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in document:
        raise Fault(f"{what} has no {key}")
    return document[key]


def known_keys(document: Mapping[str, Any], known: Collection[str], what: str) -> None:
    unknown = [key for key in document if key not in known]
    if unknown:
        raise Fault(f"{what} has the unknown field {unknown[0][:80]!r}")


def sequence(value: Any, what: str) -> Sequence[Any]:
    if not isinstance(value, (list, array)):
        raise Fault(f"{what} is not an array")
    return value


def integers(value: Any, what: str, length: int | None = None) -> Sequence[int]:
    """An array of integers, of `length` if it is given. Raises Fault."""
    found = sequence(value, what)
    if found.typecode in "fd" if isinstance(found, array) else not {int}.issuperset(map(type, found)):
        raise Fault(f"{what} has values that are not integers")
    check_length(found, what, length)
    return found


def floats(value: Any, what: str, length: int | None = None) -> Sequence[float]:
    """An array of floating-point numbers, of `length` if it is given; they may be NaN or infinite. Raises Fault."""
    found = sequence(value, what)
    if found.typecode not in "fd" if isinstance(found, array) else not {float}.issuperset(map(type, found)):
        raise Fault(f"{what} has values that are not floating-point numbers")
    check_length(found, what, length)
    return found


def check_length(found: Sequence[Any], what: str, length: int | None) -> None:
    if length is not None and len(found) != length:
        raise Fault(f"{what} has {len(found)} values, not {length}")


def finite(values: Sequence[float], what: str) -> None:
    """Raise Fault unless each value is finite as a float32."""
    if not all(map(math.isfinite, values)) or (values and max(max(values), -min(values)) > LARGEST_FLOAT32):
        raise Fault(f"{what} has a value that is not finite")


def within(values: Sequence[int], least: int, most: int, what: str) -> None:
    if values and (min(values) < least or max(values) > most):
        wrong = next(value for value in values if not least <= value <= most)
        raise Fault(f"{what} has {wrong}, which is not between {least} and {most}")


def integer(value: Any, what: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """An integer, or a string of one, which is how XGBoost writes its parameters. Raises Fault."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is not int:
        raise Fault(f"{what} is not an integer")
    if not least <= value <= most:
        raise Fault(f"{what} is {value}, which is not between {least} and {most}")
    return value


def string(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Fault(f"{what} is not a string")
    return value


def unique(values: Sequence[str], what: str) -> None:
    if len(set(values)) != len(values):
        raise Fault(f"{what} has a name twice")
