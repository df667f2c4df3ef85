"""Checks of inputs against the card.

The checks of single values have error messages; those of whole columns only succeed or give up.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any, TypeVar

from functions.runtime.contract.card import Input
from functions.runtime.contract.categories import Category, by_spelling, text_of, types_of
from functions.runtime.contract.datatypes import FLOATS, WHOLE, bounds_of
from functions.runtime.errors import InvalidInput

Column = Sequence[Any]
# Values per call of C code, which holds the interpreter: nothing else is answered meanwhile, not even liveness.
SLICE = 65_536
_Column = TypeVar("_Column", bound=Any)


def _below(limit: int) -> bytes:
    """The bytes whose lower seven bits are below the limit."""
    return bytes(byte for byte in range(256) if byte & 0x7F < limit)


# By the precision of the values and of their target: the highest exponents are those of infinity and NaN, and doubles
# may be too large.
_ORDINARY = {("f", "f"): _below(0x7F), ("d", "d"): _below(0x7F), ("d", "f"): _below(0x47), ("f", "d"): _below(0x7F)}
_TOP = {typecode: slice(size - 1 if sys.byteorder == "little" else 0, None, size) for typecode, size in (("f", 4), ("d", 8))}
# The upper two bytes of each value, and the bytes of infinity there (IEEE 754-2019, section 3.4): 7F80 or FF80 in single
# precision, 7FF0 or FFF0 in double precision.
_UPPER = {
    typecode: (_TOP[typecode], slice(size - 2 if sys.byteorder == "little" else 1, None, size)) for typecode, size in (("f", 4), ("d", 8))
}
_IS_HIGHEST = bytes(byte & 0x7F == 0x7F for byte in range(256))
_IS_NEXT = {typecode: bytes(byte == infinity for byte in range(256)) for typecode, infinity in (("f", 0x80), ("d", 0xF0))}
_NUMBERS = frozenset({float, int})
_NUMBERS_AND_NULL = frozenset({float, int, NoneType})


class NeedsSlowPath(Exception):
    """A column is not simple enough for the fast path; the check of each value finds out whether anything is wrong."""


def checker(item: Input, *, bools: bool = False) -> Callable[[Any], Any]:
    """A function that checks one value that is not null. It raises InvalidInput, naming the input.

    It returns the string, the number as float, or the category. With `bools` a number may be true or false: an artifact
    without a card does not know the type of its columns.
    """
    if item.categories is not None:
        return _category_checker(item, item.categories)
    if item.datatype == "BYTES":
        return _text_checker(item)
    if item.datatype == "BOOL":
        return _bool_checker(item)
    return _number_checker(item, bools=bools)


def converter(item: Input) -> Callable[[Column], Sequence[float]]:
    """A function that converts a column of values to numbers. It raises NeedsSlowPath.

    Categories become their position, missing values NaN.
    """
    if item.categories is not None or item.datatype == "BYTES":
        return _codes_of(item)
    if item.datatype == "BOOL":
        return _bools
    return _numbers_of(item)


def range_of(item: Input) -> tuple[float, float]:
    """The least and the greatest number of an input: by its bounds, and by its datatype if that is an integer."""
    least, most = bounds_of(item.datatype) if item.datatype in WHOLE else (-math.inf, math.inf)
    return (
        least if item.minimum is None else max(least, float(item.minimum)),
        most if item.maximum is None else min(most, float(item.maximum)),
    )


def is_plain(item: Input) -> bool:
    """Whether every number of the input's datatype is valid."""
    return item.datatype in FLOATS and item.minimum is None and item.maximum is None and item.categories is None


def numbers(column: Column) -> Sequence[float]:
    """A column of numbers, with NaN for null. Raises NeedsSlowPath for any other value, booleans included."""
    if isinstance(column, array):
        return column
    found = list(map(type, column))
    if found.count(float) == len(found):  # twice as fast as a set, and the usual case
        return column
    types = set(found)
    if types <= _NUMBERS:
        return column
    if types <= _NUMBERS_AND_NULL:
        return [math.nan if value is None else value for value in column]
    raise NeedsSlowPath


def slices(column: _Column) -> Iterable[_Column]:
    """The slices of a column of any length, in order: each takes a millisecond or two."""
    if len(column) <= SLICE:
        return (column,)
    return (column[start : start + SLICE] for start in range(0, len(column), SLICE))


def are_ordinary(values: array[float], typecode: str) -> bool:
    """Whether all values are certainly finite in the precision of `typecode`; False means unknown.

    It looks at the upper seven bits of each exponent, which with the sign are one byte (IEEE 754-2019, section 3.4), in
    a tenth of the time of a sum.
    """
    top, ordinary = _TOP[values.typecode], _ORDINARY[values.typecode, typecode]
    if len(values) <= SLICE:
        return not values.tobytes()[top].translate(None, ordinary)
    return all(are_ordinary(part, typecode) for part in slices(values))


def may_be_infinite(values: array[float]) -> bool:
    """Whether a value has the upper two bytes of infinity: those of NaN are others, unless it carries a payload.

    The bytes of all values become one integer each, whose bitwise AND compares them at once.
    """
    content, (top, next_) = values.tobytes(), _UPPER[values.typecode]
    exponents, others = content[top].translate(_IS_HIGHEST), content[next_].translate(_IS_NEXT[values.typecode])
    return bool(int.from_bytes(exponents, "little") & int.from_bytes(others, "little"))


def name_of(value: Any) -> str:
    """A value for an error message: its kind and its beginning."""
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)[:40]


def some(names: Sequence[str]) -> str:
    """The first names for an error message: a caller may have sent any number, of any length."""
    shown = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown}, …"


def _text_checker(item: Input) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if type(value) is not str:
            raise InvalidInput(f"the input {item.name} is {name_of(value)}; it must be a string.")
        return value

    return check


def _category_checker(item: Input, categories: Sequence[Category]) -> Callable[[Any], Category]:
    known = by_spelling({category: category for category in categories}, item.datatype)
    types = types_of(item.datatype)
    listed = f"its {len(categories)} categories: {some(list(map(text_of, categories)))}"
    expected = "a string" if item.datatype == "BYTES" else f"one of {listed}"

    def check(value: Any) -> Category:
        if type(value) not in types:
            raise InvalidInput(f"the input {item.name} is {name_of(value)}; it must be {expected}.")
        if value not in known:
            raise InvalidInput(f"the input {item.name} is {_quoted(value)}, which is not one of {listed}.")
        return known[value]

    return check


def _bool_checker(item: Input) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if type(value) is not bool:
            raise InvalidInput(f"the input {item.name} is {name_of(value)}; it must be true or false.")
        return float(value)

    return check


def _number_checker(item: Input, *, bools: bool) -> Callable[[Any], float]:
    is_integer = item.datatype in WHOLE
    least, most = range_of(item)

    def check(value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            if type(value) is not bool:
                raise InvalidInput(f"the input {item.name} is {name_of(value)}; it must be a number.")
            if not bools:
                raise InvalidInput(f"the input {item.name} is {name_of(value)}, which is not a number", remedy="send 1 or 0")
        try:
            number = float(value)
        except OverflowError:
            raise InvalidInput(f"the input {item.name} is too large for a number.") from None
        if is_integer and not number.is_integer():
            raise InvalidInput(f"the input {item.name} is {value!r}; it must be an integer.")
        if not least <= value <= most:
            raise InvalidInput(f"the input {item.name} is {value!r}; it must be {_bounds(least, most)}.")
        return number

    return check


def _codes_of(item: Input) -> Callable[[Column], Sequence[float]]:
    categories = item.categories or ()
    codes = by_spelling({category: float(code) for code, category in enumerate(categories)}, item.datatype)
    types = types_of(item.datatype)
    if item.optional:
        codes[None] = math.nan
        types |= {NoneType}
    strings_only = item.datatype == "BYTES"

    def convert(column: Column) -> Sequence[float]:
        if not strings_only and not types.issuperset(map(type, column)):  # such as true, which would find the number 1
            raise NeedsSlowPath
        try:
            return [codes[value] for value in column]
        except (KeyError, TypeError):
            if not item.optional or not isinstance(column, array):
                raise NeedsSlowPath from None
        try:  # an array has NaN for null
            return [codes[value] if value == value else math.nan for value in column]
        except KeyError:
            raise NeedsSlowPath from None

    return convert


def _bools(column: Column) -> Sequence[float]:
    if set(map(type, column)) != {bool}:
        raise NeedsSlowPath
    return column


def _numbers_of(item: Input) -> Callable[[Column], Sequence[float]]:
    is_integer = item.datatype in WHOLE
    least, most = range_of(item)
    bounded = not is_plain(item)

    def convert(column: Column) -> Sequence[float]:
        found = numbers(column)
        present = _present(found, column, item, bounded=bounded)
        if bounded and present and not (least <= min(present) and max(present) <= most):
            raise NeedsSlowPath
        if is_integer and not _are_whole(present):
            raise NeedsSlowPath
        return found

    return convert


def _present(found: Sequence[float], column: Column, item: Input, *, bounded: bool) -> Sequence[float]:
    """The numbers without NaN, as far as they have to be checked. Raises NeedsSlowPath for NaN in a required input."""
    if found is column and not (isinstance(found, array) and found.typecode in "fd" and not are_ordinary(found, found.typecode)):
        return found
    if not bounded:
        # The sum of an infinity and its negative is NaN too; the slow path finds out.
        if not item.optional and math.isnan(sum(found)):
            raise NeedsSlowPath
        return found
    present = [value for value in found if value == value]
    if len(present) < len(found) and not item.optional:
        raise NeedsSlowPath
    return present


def _are_whole(values: Sequence[float]) -> bool:
    if isinstance(values, array):
        return values.typecode not in "fd" or all(map(float.is_integer, values))
    return all(map(_is_whole, values))


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return name_of(value)
    return repr(value) if len(value) <= 40 else f"{value[:40]!r}…"


def _is_whole(value: float) -> bool:
    return float(value).is_integer()


def _bounds(least: float, most: float) -> str:
    if math.isinf(most):
        return f"at least {_plain(least)}"
    return f"at most {_plain(most)}" if math.isinf(least) else f"{_plain(least)} to {_plain(most)}"


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"
