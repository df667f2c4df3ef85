"""The JSON event format, single and batched (CloudEvents JSON Event Format 1.0.2).

The SDK's codec takes longer than all other work on an event and has no batches. This one copies data that is JSON
already, and parses a batch in one call.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import orjson

from common.errors import InvalidEvent
from eventing.event import Event, check, to_json

MEDIA_TYPE = "application/cloudevents+json"
BATCH_MEDIA_TYPE = "application/cloudevents-batch+json"


def encode(event: Event) -> bytes:
    """Return one event in JSON. Raises InvalidEvent when its data cannot be written as JSON."""
    return to_json(_to_object(event))


def encode_batch(events: Iterable[Event]) -> bytes:
    """Return a batch of events in JSON, several times faster than one by one. Raises InvalidEvent."""
    return to_json([_to_object(event) for event in events])


def join_batch(encoded: Iterable[bytes]) -> bytes:
    """Return a batch of events that are already encoded."""
    return b"[" + b",".join(encoded) + b"]"


def decode(body: bytes) -> Event:
    """Return the event of a JSON object. Raises InvalidEvent."""
    return _from_object(_parse(body))


def decode_batch(body: bytes) -> list[Event]:
    """Return the events of a JSON array. Raises InvalidEvent, naming the place of an invalid event, counted from 0."""
    objects = _parse(body)
    if not isinstance(objects, list):
        raise InvalidEvent("a batch of events is a JSON array; this body is not one.")
    return [_from_item(index, item) for index, item in enumerate(objects)]


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the body is not JSON: {error}.") from None


def _to_object(event: Event) -> dict[str, Any]:
    message: dict[str, Any] = dict(event.attributes)
    data = event.data
    if data is None:
        return message
    if not isinstance(data, bytes):
        message["data"] = data
    elif event.is_json:
        message["data"] = orjson.Fragment(data)
    elif (text := _as_text(event, data)) is not None:
        message["data"] = text
    else:
        message["data_base64"] = base64.b64encode(data).decode()
    return message


def _as_text(event: Event, data: bytes) -> str | None:
    if not (event.get("datacontenttype") or "").lower().startswith("text/"):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _from_item(index: int, item: Any) -> Event:
    try:
        return _from_object(item)
    except InvalidEvent as error:
        raise InvalidEvent(f"event {index} of the batch: {error.message}", remedy=error.remedy) from None


def _from_object(message: Any) -> Event:
    if not isinstance(message, dict):
        raise InvalidEvent("an event is a JSON object; this is not one.")
    data = message.pop("data", None)
    encoded = message.pop("data_base64", None)
    attributes = {name: value for name, value in message.items() if value is not None}
    check(attributes)
    if encoded is not None:
        if data is not None:
            raise InvalidEvent("the event has both data and data_base64", remedy="send one of them")
        data = _from_base64(encoded)
    event = Event(attributes, data)
    if event.is_json:
        # Bytes of JSON are parsed here: unparsed, they would be copied into a batch even if they are not JSON.
        return event if encoded is None else Event(attributes, event.value())
    return Event(attributes, data.encode()) if isinstance(data, str) else event


def _from_base64(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidEvent("the event's data_base64 is not Base64.") from None
