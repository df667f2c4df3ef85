"""Categories of an input: strings, numbers or booleans, as the training frame has them, and how a caller may spell each."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import orjson

Category = str | bool | int | float
_INT64_END = 1 << 63
_Value = TypeVar("_Value")


def is_category(value: object) -> bool:
    """Whether it is a string, a boolean, or a number that JSON can carry: finite, and of 64 bits if whole."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def text_of(category: Category) -> str:
    """The canonical text: a string as it is, anything else as JSON has it (`true`, `102`, `2.0`)."""
    return category if isinstance(category, str) else orjson.dumps(category).decode()


def spellings_of(category: Category) -> tuple[str, ...]:
    """The texts that stand for a category: the canonical one, and Python's, in which pandas writes CSV (`True`, `1e-07`)."""
    return tuple(dict.fromkeys((text_of(category), str(category))))


def datatype_of(categories: Collection[Category]) -> str:
    """The Open Inference datatype of an input with these categories; BYTES for those of several types."""
    types = set(map(type, categories))
    if types == {bool}:
        return "BOOL"
    if not types or not types <= {int, float}:
        return "BYTES"
    if float in types:
        return "FP64"
    return "UINT64" if any(category >= _INT64_END for category in categories if not isinstance(category, str)) else "INT64"


def types_of(datatype: str) -> frozenset[type]:
    """The types of JSON that an input with categories takes: text stands for numbers and booleans as well."""
    if datatype == "BYTES":
        return frozenset({str})
    return frozenset({bool, str} if datatype == "BOOL" else {int, float, str})


def by_spelling(values: Mapping[Category, _Value], datatype: str) -> dict[Any, _Value]:
    """The values of the categories, by all that may be sent for one.

    To a dict, true is the number 1: look only for what is of one of `types_of`.
    """
    if datatype == "BYTES":
        return dict(values)
    return {**{text: value for category, value in values.items() for text in spellings_of(category)}, **values}


def are_same(one: Category, other: Category) -> bool:
    """Whether both mean one category: a text may stand for a number or a boolean, but true is not the number 1."""
    if isinstance(one, str) != isinstance(other, str):
        text, value = (one, other) if isinstance(one, str) else (other, one)
        return text in spellings_of(value)
    return one == other and isinstance(one, bool) == isinstance(other, bool)
