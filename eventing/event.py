"""The event: CloudEvents 1.0 context attributes and data, as a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from common.errors import InvalidEvent

AttributeValue = str | int | bool

SPECVERSION = "1.0"
REQUIRED = ("id", "source", "specversion", "type")
_NAME = re.compile(r"[a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What helps, by a word of what the writer of JSON says.
_REMEDIES = {
    "Recursion": "send data that is nested less deeply",
    "64-bit": "send it as a string",
    "UTF-8": "send text without halves of surrogate pairs",
}


@lru_cache(1024)  # the same few names come by for ever
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent (CloudEvents 1.0.2, section 3).

    `attributes` holds every context attribute, extensions included, by name. `data` is either `bytes`, exactly as they were
    transported, or any other JSON value, already parsed; `None` is no data. JSON has no bytes, so the two cannot be confused.
    """

    attributes: Mapping[str, AttributeValue]
    data: Any = None

    @property
    def id(self) -> str:
        return str(self.attributes["id"])

    @property
    def source(self) -> str:
        return str(self.attributes["source"])

    @property
    def type(self) -> str:
        return str(self.attributes["type"])

    def get(self, name: str) -> str | None:
        """An attribute in its canonical string form (section 3.1), or None."""
        value = self.attributes.get(name)
        return None if value is None else to_text(value)

    def with_attributes(self, **attributes: AttributeValue) -> Event:
        return replace(self, attributes={**self.attributes, **attributes})

    @property
    def is_json(self) -> bool:
        return is_json(self.get("datacontenttype"))

    def value(self) -> Any:
        """The data as a JSON value. Raises InvalidEvent when it is not JSON."""
        if not isinstance(self.data, bytes):
            return self.data
        try:
            return orjson.loads(self.data)
        except orjson.JSONDecodeError as error:
            raise InvalidEvent(f"the event's data is not JSON: {error}; send one JSON value as the data.") from None

    def payload(self) -> bytes | None:
        """The data as bytes, or None where there is none. Raises InvalidEvent when it is nested too deeply."""
        if self.data is None or isinstance(self.data, bytes):
            return self.data
        return to_json(self.data)


def to_json(value: Any) -> bytes:
    """JSON text. Raises InvalidEvent: what can be read is nested up to 1,024 levels, what can be written up to 254, and integers
    have 64 bits at the most."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        remedy = next((remedy for word, remedy in _REMEDIES.items() if word in str(error)), "send data that JSON has values for")
        raise InvalidEvent(f"the event cannot be written as JSON: {error}; {remedy}.") from None


def is_json(content_type: str | None) -> bool:
    """Whether a media type means JSON; none at all does (CloudEvents 1.0.2, section 3.1.1, `datacontenttype`)."""
    if content_type is None:
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def to_text(value: AttributeValue) -> str:
    """The canonical string of an attribute value (section 3.1): `true` rather than `True`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check(attributes: Mapping[str, AttributeValue]) -> None:
    """Raise InvalidEvent, naming the attribute, unless these can be the context attributes of an event."""
    for name in REQUIRED:
        value = attributes.get(name)
        if type(value) is not str or not value:
            raise InvalidEvent(_complaint(name, value))
    if attributes["specversion"] != SPECVERSION:
        raise InvalidEvent(f"the event's specversion is {attributes['specversion']!r}; only {SPECVERSION!r} is understood.")
    for name, value in attributes.items():
        if not _is_name(name):
            raise InvalidEvent(f"the event's attribute {name!r} has a name that is not lower-case letters and digits.")
        if not isinstance(value, (str, int)):
            raise InvalidEvent(f"the event's attribute {name} is {_shown(value)}; it must be a text, a whole number or a boolean.")


def has_control(text: str) -> bool:
    """Whether there is a control character in it. The first look is many times faster, and enough for most."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def check_characters(attributes: Mapping[str, AttributeValue]) -> None:
    """Raise InvalidEvent, naming the attribute, for a control character in one (section 3.1, `String`)."""
    for name, value in attributes.items():
        if isinstance(value, str) and has_control(value):
            raise InvalidEvent(f"the event's attribute {name} has a control character; send text without any.")


def _complaint(name: str, value: object) -> str:
    if value is None:
        return f"the event has no {name}; a CloudEvent needs {', '.join(REQUIRED)}."
    return f"the event's {name} is {_shown(value)}; it must be a text that is not empty."


def _shown(value: object) -> str:
    """What is nested may be so deeply that Python cannot write it."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)[:40]
