"""The Kafka protocol binding (CloudEvents Kafka Binding 1.0.2), and what becomes of a record that is no CloudEvent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.event import SPECVERSION, AttributeValue, Event, check, check_characters, has_control, to_text

# A consumed header can be null.
Headers = Sequence[tuple[str, bytes | None]]


class Record(Protocol):
    """The part of a consumed Kafka record that a codec reads."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Message:
    """What goes into a record: key, value and headers."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def decode(record: Record) -> Event:
    """The record's event; its key becomes `partitionkey` where the event has none. Raises InvalidEvent.

    The content type decides (section 3): with `application/cloudevents…` the value is the event. Where there is neither a content type
    nor a `ce_` header, a value that is an event by itself is taken as one. Any other record without `ce_` headers is wrapped with the
    attributes that a Knative KafkaSource gives it, but for `source`: that names the KafkaSource object, and here is none.
    """
    headers = dict(record.headers)
    content_type = _text("content-type", headers.get("content-type"))
    value = record.value
    if (content_type or "").lower().startswith("application/cloudevents"):
        return _with_key(_structured(value), record.key)
    attributes: dict[str, AttributeValue] = {name[3:]: _text(name, raw) or "" for name, raw in headers.items() if name.startswith("ce_")}
    if attributes:
        check_characters(attributes)
    elif content_type is None and _is_structured(value):
        return _with_key(_structured(value), record.key)
    else:
        attributes = _wrap(record)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    check(attributes)
    event = Event(attributes, value)
    if value is not None and event.is_json:
        # A batch is put together from untouched values: one that is not JSON would spoil its neighbours.
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InvalidEvent(f"the event's data is not JSON: {error}; publish one JSON value, or set its datacontenttype.") from None
    return _with_key(event, record.key)


def _structured(value: bytes | None) -> Event:
    event = json.decode(value or b"")
    check_characters(event.attributes)
    return event


def _is_structured(value: bytes | None) -> bool:
    """Whether a value without any header is an event by itself: a JSON object that says so, by its `specversion`.

    A producer that sets no content type writes what the binding does not know; taken for data, it would be refused for missing inputs.
    """
    if value is None or b'"specversion"' not in value:
        return False
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("specversion") == SPECVERSION


def encode(event: Event, key: bytes | None = None) -> Message:
    """The event in binary mode. The key is the event's `partitionkey` unless one is given.

    Raises InvalidEvent for an attribute with a control character: headers are read by programs that take them for lines. A
    `partitionkey` that was made of a binary key is left out where the key itself is there.
    """
    if key is not None and has_control(event.get("partitionkey") or ""):
        event = replace(event, attributes={name: value for name, value in event.attributes.items() if name != "partitionkey"})
    check_characters(event.attributes)
    headers = [(f"ce_{name}", to_text(value).encode()) for name, value in event.attributes.items() if name != "datacontenttype"]
    content_type = event.get("datacontenttype")
    if content_type is not None:
        headers.append(("content-type", content_type.encode()))
    partition_key = event.get("partitionkey")
    if key is None and partition_key is not None:
        key = partition_key.encode()
    return Message(key, event.payload(), headers)


def _wrap(record: Record) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "source": f"/kafka/{record.topic}",
        "type": "dev.knative.kafka.event",
        "subject": f"partition:{record.partition}#{record.offset}",
        "datacontenttype": "application/json",
    }
    # An attribute cannot hold what is no text; such a key or header is left out.
    extensions = [("key", record.key)] + [(_extension(name), value) for name, value in record.headers if name != "content-type"]
    return attributes | {name: text for name, value in extensions if (text := _lenient(value)) is not None}


def _extension(header: str) -> str:
    return "kafkaheader" + re.sub("[^a-z0-9]", "", header.lower())


def _with_key(event: Event, key: bytes | None) -> Event:
    text = _lenient(key)
    return event if not text or "partitionkey" in event.attributes else event.with_attributes(partitionkey=text)


def _lenient(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _text(name: str, value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidEvent(f"the record's header {name} is not UTF-8.") from None
