"""The event: CloudEvents 1.0 context attributes and data, as an immutable value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from common.errors import InvalidEvent

AttributeValue = str | int | bool

SPECVERSION = "1.0"
REQUIRED = ("id", "source", "specversion", "type")
# Names that nearly every event has, and whose form need not be looked at.
_KNOWN = frozenset({*REQUIRED, "datacontenttype", "subject", "time", "partitionkey", "causationid", "modelversion"})
_NAME = re.compile(r"[a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Remedies by a word in orjson's message.
_REMEDIES = {
    "Recursion": "send data with at most 254 levels",
    "64-bit": "send the integer as a string",
    "UTF-8": "send strings without lone surrogates",
}


@lru_cache(1024)  # attribute names repeat
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent (CloudEvents 1.0.2, section 3).

    `attributes` holds every context attribute by name, extensions included. `data` is `bytes`, exactly as transported,
    or a parsed JSON value; `None` means no data. JSON has no bytes, so the two cannot be confused.
    """

    attributes: Mapping[str, AttributeValue]
    data: Any = None

    @property
    def id(self) -> str:
        """The `id` attribute: unique within the source."""
        return str(self.attributes["id"])

    @property
    def source(self) -> str:
        """The `source` attribute, a URI reference."""
        return str(self.attributes["source"])

    @property
    def type(self) -> str:
        """The `type` attribute."""
        return str(self.attributes["type"])

    def get(self, name: str) -> str | None:
        """Return an attribute in its canonical string form (section 3.1), or None when it is missing."""
        value = self.attributes.get(name)
        return value if value is None or type(value) is str else to_text(value)

    def with_attributes(self, **attributes: AttributeValue) -> Event:
        """Return a copy of the event with these attributes added or replaced."""
        return Event({**self.attributes, **attributes}, self.data)

    @property
    def is_json(self) -> bool:
        """Whether `datacontenttype` means JSON."""
        return is_json(self.get("datacontenttype"))

    def value(self) -> Any:
        """Return the data as a JSON value. Raises InvalidEvent when it is not JSON."""
        if not isinstance(self.data, bytes):
            return self.data
        try:
            return orjson.loads(self.data)
        except orjson.JSONDecodeError as error:
            raise InvalidEvent(f"the event's data is not JSON: {error}", remedy="send one JSON value as the data") from None

    def payload(self) -> bytes | None:
        """Return the data as bytes, or None without data. Raises InvalidEvent when it cannot be written as JSON."""
        if self.data is None or isinstance(self.data, bytes):
            return self.data
        return to_json(self.data)


def to_json(value: Any) -> bytes:
    """Serialize a value as JSON.

    Raises InvalidEvent for more than 254 levels (up to 1,024 can be read), for integers beyond 64 bits, and for lone
    surrogates.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        remedy = next((remedy for word, remedy in _REMEDIES.items() if word in str(error)), "send JSON values only")
        raise InvalidEvent(f"the event cannot be written as JSON: {error}", remedy=remedy) from None


def is_json(content_type: str | None) -> bool:
    """Return whether a media type means JSON; a missing one does (section 3.1.1, `datacontenttype`)."""
    if content_type is None or content_type == "application/json":
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def to_text(value: AttributeValue) -> str:
    """Return the canonical string of an attribute value (section 3.1): `true` rather than `True`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check(attributes: Mapping[str, AttributeValue]) -> None:
    """Check the context attributes of an event. Raises InvalidEvent, naming the attribute."""
    for name in REQUIRED:
        value = attributes.get(name)
        if type(value) is not str or not value:
            raise _missing_or_invalid(name, value)
    if attributes["specversion"] != SPECVERSION:
        raise InvalidEvent(f"unsupported specversion {attributes['specversion']!r}", remedy=f"send an event of specversion {SPECVERSION!r}")
    for name, value in attributes.items():
        if name not in _KNOWN and not _is_name(name):
            raise InvalidEvent(f"invalid attribute name {name!r} in the event", remedy="name attributes by lower-case letters and digits")
        if type(value) is not str and not isinstance(value, (str, int)):
            raise InvalidEvent(f"the event's attribute {name} is {_shown(value)}; it must be a string, an integer or a boolean.")


def has_control(text: str) -> bool:
    """Return whether a string has a control character. `isprintable` is many times faster and decides most cases."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def check_characters(attributes: Mapping[str, AttributeValue]) -> None:
    """Check attributes for control characters (section 3.1, `String`). Raises InvalidEvent, naming the attribute."""
    for name, value in attributes.items():
        if isinstance(value, str) and not value.isprintable() and has_control(value):
            raise InvalidEvent(f"the event's attribute {name} has a control character", remedy="send strings without control characters")


def _missing_or_invalid(name: str, value: object) -> InvalidEvent:
    if value is None:
        return InvalidEvent(f"the event has no {name}; a CloudEvent needs {', '.join(REQUIRED)}.")
    return InvalidEvent(f"the event's {name} is {_shown(value)}; it must be a non-empty string.")


def _shown(value: object) -> str:
    """Return a short form of a value; a nested one may be too deep for `repr`."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)[:40]
