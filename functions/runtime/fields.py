"""Reading a document field by field, so that a mistake is named by its place. It imports nothing: it is part of every cold start."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any


class InvalidField(ValueError):
    """The message begins with the path of the field."""


class Fields:
    """The fields of one object; each is taken once, and `end` complains about those that nobody took."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise InvalidField(f"{path or 'it'} is {_kind(value)}; it must be an object")
        self._fields = dict(value)
        self._path = path
        self._taken: list[str] = []

    def text(self, name: str, default: str | None = None, *, pattern: str | None = None, among: Collection[str] | None = None) -> str:
        """Raises InvalidField when it is missing and has no default, or is not what it must be."""
        value = self._take(name, str, "a text", default)
        if pattern is not None and not re.fullmatch(pattern, value):
            raise InvalidField(f"{self._at(name)} is {value!r}; it must match {pattern}")
        if among is not None and value not in among:
            raise InvalidField(f"{self._at(name)} is {value!r}; it must be one of {', '.join(among)}")
        return str(value)

    def optional_text(self, name: str, *, pattern: str | None = None) -> str | None:
        return None if self._fields.get(name) is None and self._took(name) else self.text(name, pattern=pattern)

    def flag(self, name: str) -> bool:
        return bool(self._take(name, bool, "true or false", False))

    def texts(self, name: str) -> tuple[str, ...] | None:
        value = self._fields.get(name)
        if value is None:
            self._took(name)
            return None
        items = self._take(name, (list, tuple), "a list of texts", None)
        if not all(isinstance(item, str) for item in items):
            raise InvalidField(f"{self._at(name)} has an item that is no text; put it in quotes")
        return tuple(items)

    def objects(self, name: str) -> list[Fields]:
        """At least one."""
        items = self._take(name, (list, tuple), "a list of objects", None)
        if not items:
            raise InvalidField(f"{self._at(name)} is empty; name at least one")
        return [Fields(item, f"{self._at(name)}[{index}]") for index, item in enumerate(items)]

    def object(self, name: str) -> Fields:
        return Fields(self._take(name, Mapping, "an object", None), self._at(name))

    def mapping(self, name: str) -> dict[str, Any]:
        return dict(self._take(name, Mapping, "an object", {}))

    def end(self) -> None:
        """Raises InvalidField for a field that is not known, with the nearest that is."""
        for name in self._fields:
            if name not in self._taken:
                near = difflib.get_close_matches(str(name), self._taken, 1)
                raise InvalidField(
                    f"{self._at(str(name))} is not known; " + (f"is it {near[0]}?" if near else f"known are {', '.join(self._taken)}")
                )

    def _took(self, name: str) -> bool:
        self._taken.append(name)
        return True

    def _take(self, name: str, kind: Any, wanted: str, default: Any) -> Any:
        self._took(name)
        value = self._fields.get(name)
        if value is None:
            if default is None:
                raise InvalidField(f"{self._at(name)} is missing")
            return default
        if not isinstance(value, kind):
            raise InvalidField(f"{self._at(name)} is {_kind(value)}; it must be {wanted}")
        return value

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", type(None): "empty"}
    return names.get(type(value), repr(value)[:40])
