"""Reads a document field by field, so that an error names the field's path.

It imports little: it is part of every cold start.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

from functions.runtime.contract.categories import Category, is_category

_LARGEST = sys.float_info.max


class InvalidField(ValueError):
    """A field is invalid. `reason` begins with the path of the field; `remedy` is an imperative, or empty."""

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class Fields:
    """The fields of one object; each is read once, and `end` refuses the fields that were not read."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise InvalidField(f"{path or 'it'} is {_kind(value)}; it must be an object")
        self._fields = dict(value)
        self._path = path
        self._read: dict[str, None] = {}

    def string(self, name: str, default: str | None = None, *, pattern: str | None = None, among: Collection[str] | None = None) -> str:
        """A string. Raises InvalidField when it is missing and has no default, or does not match."""
        value = self._take(name, str, "a string", default)
        if pattern is not None and not re.fullmatch(pattern, value):
            raise self.invalid(name, f"is {value!r}; it must match {pattern}")
        if among is not None and value not in among:
            raise self.invalid(name, f"is {value!r}; it must be one of {', '.join(among)}")
        return str(value)

    def optional_string(self, name: str, *, pattern: str | None = None, among: Collection[str] | None = None) -> str | None:
        """A string, or None when it is missing. Raises InvalidField when it does not match."""
        return self.string(name, pattern=pattern, among=among) if self._given(name) else None

    def boolean(self, name: str) -> bool:
        """A boolean; False when it is missing."""
        return bool(self._take(name, bool, "true or false", False))

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float | None:
        """A finite number, or None when it is missing; an integer stays one."""
        if not self._given(name):
            return None
        value: float = self._take(name, (int, float), "a number, such as 0.5 or 1.0e+3", None)
        if isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
            raise self.invalid(name, f"is {_kind(value)}; it must be a finite number, or left out")
        if not least <= value <= most:
            raise self.invalid(name, f"is {_kind(value)}; it must be {least:g} to {most:g}")
        return value

    def strings(self, name: str, *, least: int = 0) -> tuple[str, ...] | None:
        """At least `least` distinct strings, or None when they are missing."""
        if not self._given(name):
            return None
        items = self._take(name, (list, tuple), "a list of strings", None)
        if not all(isinstance(item, str) for item in items):
            raise self.invalid(name, "has an item that is not a string", remedy="put it in quotes")
        if len(items) < least:
            raise self.invalid(name, f"has {len(items)} items", remedy=f"name at least {least}, or leave it out")
        if len(set(items)) < len(items):
            twice = next(item for item in items if items.count(item) > 1)
            raise self.invalid(name, f"has {twice!r} more than once", remedy="name each once")
        return tuple(items)

    def categories(self, name: str) -> tuple[Category, ...] | None:
        """At least one distinct string, finite number or boolean, or None when they are missing."""
        if not self._given(name):
            return None
        items = self._take(name, (list, tuple), "a list of strings, numbers, or true and false", None)
        for item in items:
            if not is_category(item):
                raise self.invalid(name, f"has {_kind(item)}; each must be a string, a finite number of 64 bits, or true or false")
        if not items:
            raise self.invalid(name, "has 0 items", remedy="name at least 1, or leave it out")
        seen: set[tuple[bool, Category]] = set()
        for item in items:
            if (isinstance(item, bool), item) in seen:
                raise self.invalid(name, f"has {item!r} more than once", remedy="name each once")
            seen.add((isinstance(item, bool), item))
        return tuple(items)

    def objects(self, name: str) -> list[Fields]:
        """At least one object."""
        items = self._take(name, (list, tuple), "a list of objects", None)
        if not items:
            raise self.invalid(name, "is empty", remedy="name at least one")
        return [Fields(item, f"{self._at(name)}[{index}]") for index, item in enumerate(items)]

    def object(self, name: str) -> Fields:
        """One object."""
        return Fields(self._take(name, Mapping, "an object", None), self._at(name))

    def mapping(self, name: str) -> dict[str, Any]:
        """An object of any fields; empty when it is missing."""
        return dict(self._take(name, Mapping, "an object", {}))

    def invalid(self, name: str, reason: str, *, remedy: str = "") -> InvalidField:
        """The error to raise for a field, with its path before the reason."""
        return InvalidField(f"{self._at(name)} {reason}", remedy=remedy)

    def end(self) -> None:
        """Raise InvalidField for an unknown field, with the most similar known one."""
        for name in self._fields:
            if name not in self._read:
                import difflib

                near = difflib.get_close_matches(str(name), self._read, 1)
                hint = f"perhaps it is {near[0]}" if near else f"known are {', '.join(self._read)}"
                raise self.invalid(str(name), f"is unknown; {hint}")

    def _given(self, name: str) -> bool:
        self._read[name] = None
        return self._fields.get(name) is not None

    def _take(self, name: str, kind: Any, expected: str, default: Any) -> Any:
        self._read[name] = None
        value = self._fields.get(name)
        if value is None:
            if default is None:
                raise self.invalid(name, "is missing")
            return default
        if not isinstance(value, kind):
            raise self.invalid(name, f"is {_kind(value)}; it must be {expected}")
        return value

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", type(None): "empty"}
    return names.get(type(value), repr(value)[:40])
