"""Comparison of a step's expectation with what a side has shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

OTHERS = "<others>"
"""A mapping with this key may have other keys as well."""


def difference(expected: Any, actual: Any, where: str = "") -> str | None:
    """The first difference, if any.

    An expected string that begins with `~` is a regular expression; null means that the key is missing.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        return next((found for found in _differences(expected, actual, where) if found), None)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((found for index, pair in pairs if (found := difference(*pair, f"{where}[{index}]"))), None)
    if isinstance(expected, str) and expected.startswith("~") and isinstance(actual, str):
        same = re.search(expected[1:].strip(), actual) is not None
    else:
        same = expected == actual
    return None if same else f"{where or 'it'} is {actual!r}, expected {expected!r}"


def _differences(expected: Object, actual: Object, where: str) -> Iterator[str | None]:
    for key, value in expected.items():
        if key != OTHERS:
            yield difference(value, actual.get(key), f"{where}.{key}")
    if OTHERS not in expected and (more := {key: item for key, item in actual.items() if key not in expected}):
        yield f"{where or 'it'} also has {more!r}"


def expected_parts(expected: Object, seen: Object) -> Object:
    """The parts that the step expects; the others may have any value."""
    return {key: seen.get(key) for key in expected}
