"""Conversion between this package's Event and the CloudEvent of the CloudEvents SDK (`cloudevents` 2, extra `sdk`).

For code that works with the SDK: an event decoded by the one is written by the other with the same attributes and the
same data. The SDK is imported at the first conversion, so that a process that never converts does not load it.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.errors import InvalidEvent
from eventing.event import AttributeValue, Event, check

if TYPE_CHECKING:
    from cloudevents.core.base import BaseCloudEvent
    from cloudevents.core.v1.event import CloudEvent


class _Timestamp(datetime):
    """A time with its original text.

    A datetime has no nanoseconds, and one offset can be written in several ways.
    """

    text: str | None = None

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return self.text or super().isoformat(sep, timespec)


def to_sdk(event: Event) -> CloudEvent:
    """Convert an event to the SDK's CloudEvent.

    `time` becomes an aware datetime that keeps its original text, with nanoseconds. The data of a JSON type is a `dict`
    for a JSON object, and otherwise JSON text in bytes, since the SDK writes a list as `str` does, and a string without
    quotes. The data of a `text/…` type is a string, and any other is bytes. Raises InvalidEvent for an event that the
    SDK refuses: one with an invalid `time`, an empty optional attribute, or an attribute named `data`.
    """
    from cloudevents.core.exceptions import CloudEventValidationError
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    attributes: dict[str, Any] = dict(event.attributes)
    if "time" in attributes:
        attributes["time"] = _to_time(attributes["time"])
    try:
        converted = CloudEvent(attributes, _to_data(event, JSONFormat.JSON_CONTENT_TYPE_PATTERN))
    except CloudEventValidationError as error:
        raise InvalidEvent(f"the CloudEvents SDK refuses the event: {_reasons(error)}.") from None
    if "time" not in event.attributes:  # the SDK adds the time of the conversion
        del converted.get_attributes()["time"]
    return converted


def from_sdk(event: BaseCloudEvent) -> Event:
    """Convert an event of the SDK.

    Attributes that are datetimes or bytes become strings in their canonical form (CloudEvents 1.0.2, section 3.1). A
    string as data is a JSON string in an event of a JSON type, as the SDK reads one, and UTF-8 text in any other.
    Raises InvalidEvent for another specversion than 1.0, an attribute of an unsupported type, and data of a JSON type
    that is not JSON.
    """
    attributes = {name: _from_attribute(value) for name, value in event.get_attributes().items() if value is not None}
    check(attributes)
    converted = Event(attributes, event.get_data())
    if not converted.is_json:
        return Event(attributes, converted.data.encode()) if isinstance(converted.data, str) else converted
    if isinstance(converted.data, bytes):
        converted.value()  # codecs copy bytes of JSON, so that invalid JSON must not pass
    return converted


def _to_time(value: AttributeValue) -> datetime:
    text = str(value)
    try:
        time = _Timestamp.fromisoformat(text.upper())
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidEvent(f"the event's time is {text[:40]!r}", remedy="send a time by RFC 3339, such as 2026-11-23T02:30:00Z")
    time.text = text
    return time


def _to_data(event: Event, json_types: re.Pattern[str]) -> dict[str, Any] | str | bytes | None:
    data, content_type = event.data, event.get("datacontenttype")
    if isinstance(data, dict) and (content_type is None or json_types.match(content_type)):
        return data
    if isinstance(data, str) and not event.is_json:
        return data
    payload = event.payload()
    if payload is None or event.is_json or not (content_type or "").lower().startswith("text/"):
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload


def _from_attribute(value: Any) -> Any:
    if isinstance(value, datetime):
        text = value.isoformat()
        return text if isinstance(value, _Timestamp) else text.replace("+00:00", "Z")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _reasons(error: Any) -> str:
    return "; ".join(str(reason) for reasons in error.errors.values() for reason in reasons)[:500]
