"""Categories of an input, as in the training frame, and the spellings that callers may send."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import orjson

Category = str | bool | int | float
_INT64_END = 1 << 63
_Value = TypeVar("_Value")


def is_category(value: object) -> bool:
    """Whether a value is a string, a boolean, or a number of JSON: finite, and of 64 bits if it is an integer."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def text_of(category: Category) -> str:
    """The canonical string of a category: a string as it is, any other value in JSON (`true`, `102`, `2.0`)."""
    return category if isinstance(category, str) else orjson.dumps(category).decode()


def spellings_of(category: Category) -> tuple[str, ...]:
    """The strings for a category: the canonical one, and Python's, which pandas writes into CSV (`True`, `1e-07`)."""
    return tuple(dict.fromkeys((text_of(category), str(category))))


def datatype_of(categories: Collection[Category]) -> str:
    """The Open Inference datatype of an input with these categories; BYTES if they are of several types."""
    types = set(map(type, categories))
    if types == {bool}:
        return "BOOL"
    if not types or not types <= {int, float}:
        return "BYTES"
    if float in types:
        return "FP64"
    return "UINT64" if any(category >= _INT64_END for category in categories if not isinstance(category, str)) else "INT64"


def types_of(datatype: str) -> frozenset[type]:
    """The Python types of the JSON values of an input with categories; a string may stand for a number or a boolean."""
    if datatype == "BYTES":
        return frozenset({str})
    return frozenset({bool, str} if datatype == "BOOL" else {int, float, str})


def by_spelling(values: Mapping[Category, _Value], datatype: str) -> dict[Any, _Value]:
    """The values of the categories, by every spelling that may be sent.

    In a dict, True equals the number 1: look up only values of `types_of` the datatype.
    """
    if datatype == "BYTES":
        return dict(values)
    return {**{text: value for category, value in values.items() for text in spellings_of(category)}, **values}


def are_same(one: Category, other: Category) -> bool:
    """Whether both mean the same category: a string may mean a number or a boolean, but true is not the number 1."""
    if isinstance(one, str) != isinstance(other, str):
        text, value = (one, other) if isinstance(one, str) else (other, one)
        return text in spellings_of(value)
    return one == other and isinstance(one, bool) == isinstance(other, bool)
