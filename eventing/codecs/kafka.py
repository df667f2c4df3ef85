"""The Kafka protocol binding (CloudEvents Kafka Binding 1.0.2), which also wraps records that are not CloudEvents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson

from common.errors import InvalidEvent
from eventing.codecs import json, registry
from eventing.event import SPECVERSION, AttributeValue, Event, check, check_characters, has_control, is_json, to_text
from eventing.types import KNATIVE_KAFKA_RECORD

# The value of a consumed header can be null.
Headers = Sequence[tuple[str, bytes | None]]
# In place of headers that a client could not read. As a header, so that a dead letter has it too, and so has its replay.
_UNREADABLE = "tidegate_unreadable"
UNREADABLE_HEADERS: Headers = ((_UNREADABLE, b"a header's name is not UTF-8"),)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(Protocol):
    """The fields of a consumed Kafka record that a codec reads."""

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
    """The key, value and headers of a record to be produced."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def decode(record: Record, timestamp: int = -1) -> Event:
    """Return the event of a record; the record's key becomes `partitionkey` if the event has none. Raises InvalidEvent.

    The content type takes precedence (section 3): with `application/cloudevents…` the value is the event. Without a
    content type and `ce_` headers, a value that is a structured event is decoded as one. Any other record without `ce_`
    headers is wrapped with the attributes that a Knative KafkaSource gives it, except for `source`, which would name
    the KafkaSource object; `time` is the record's timestamp, in milliseconds since the epoch, if it is given.
    """
    headers = dict(record.headers)
    content_type = _text("content-type", headers.get("content-type"))
    value = record.value
    if (content_type or "").lower().startswith("application/cloudevents"):
        return _with_key(_structured(value), record.key)
    attributes = _attributes(headers)
    if attributes:
        check_characters(attributes)
    elif content_type is None and _is_structured(value):
        return _with_key(_structured(value), record.key)
    else:
        attributes = _wrap(record, timestamp)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    check(attributes)
    _add_key(attributes, record.key)
    event = Event(attributes, value)
    if value is not None and event.is_json:
        # A batch copies the values: one that is not JSON would break the whole batch.
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise _no_json(value, error) from None
    return event


def decode_with(record: Record, data: bytes, timestamp: int = -1) -> Event:
    """Return the event of a record whose value was read by its schema, as the JSON `data`. Raises InvalidEvent."""
    attributes = _attributes(dict(record.headers))
    if attributes:
        check_characters(attributes)
    else:
        attributes = _wrap(record, timestamp)
    attributes["datacontenttype"] = "application/json"
    check(attributes)
    _add_key(attributes, record.key)
    return Event(attributes, data)


def check_headers(record: Record) -> None:
    """Raise InvalidEvent for a record whose headers a client could not read: they may be those of an event."""
    reason = next((value for name, value in record.headers if name == _UNREADABLE), None)
    if reason is not None:
        raise InvalidEvent(f"the record's headers cannot be read: {reason.decode(errors='replace')}", remedy="publish headers in UTF-8")


def is_tombstone(record: Record) -> bool:
    """Return whether a record has no value and no event: it deletes its key from a compacted topic.

    With `ce_` headers it is an event without data.
    """
    return record.value is None and not any(name.startswith("ce_") for name, _ in record.headers)


def framed(record: Record) -> registry.Framed | None:
    """Return the value of a record if it is in a schema registry's wire format.

    The format is not marked, so a value that its content type declares as something else than JSON, Avro or Protobuf is
    not looked into.
    """
    found = registry.split(record.value)
    if found is None:
        return None
    content_type = (dict(record.headers).get("content-type") or b"application/json").decode("latin-1").lower()
    if content_type.startswith("application/cloudevents"):
        return None
    return found if is_json(content_type) or "avro" in content_type or "protobuf" in content_type else None


def is_wrapped(record: Record) -> bool:
    """Return whether `decode` gives the record its attributes, since it is no CloudEvent. Raises InvalidEvent."""
    headers = dict(record.headers)
    content_type = _text("content-type", headers.get("content-type"))
    if any(name.startswith("ce_") for name in headers) or (content_type or "").lower().startswith("application/cloudevents"):
        return False
    return content_type is not None or not _is_structured(record.value)


def decode_verbatim(record: Record) -> Event:
    """Return the event of a record with its data as it is, JSON or not, and without the record's key.

    Raises InvalidEvent for a record that is not a CloudEvent.
    """
    headers = dict(record.headers)
    content_type = _text("content-type", headers.get("content-type"))
    if (content_type or "").lower().startswith("application/cloudevents"):
        return _structured(record.value)
    attributes = _attributes(headers)
    check_characters(attributes)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    check(attributes)
    return Event(attributes, record.value)


def _attributes(headers: Mapping[str, bytes | None]) -> dict[str, AttributeValue]:
    try:
        return {name[3:]: raw.decode() if raw else "" for name, raw in headers.items() if name.startswith("ce_")}
    except UnicodeDecodeError:  # which header it is
        return {name[3:]: _text(name, raw) or "" for name, raw in headers.items() if name.startswith("ce_")}


def _structured(value: bytes | None) -> Event:
    event = json.decode(value or b"")
    check_characters(event.attributes)
    return event


def _is_structured(value: bytes | None) -> bool:
    """Return whether a value without headers is a structured event: a JSON object with a supported `specversion`.

    The binding requires a content type, but some producers set none; wrapped as data, their events would lack the
    model's inputs.
    """
    if value is None or b'"specversion"' not in value:
        return False
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("specversion") == SPECVERSION


def encode(event: Event, key: bytes | None = None) -> Message:
    """Return a record of the event in binary mode. Its key is the event's `partitionkey` unless one is given.

    A `partitionkey` that was decoded from a binary key is left out when the key itself is given. Raises InvalidEvent
    for an attribute with a control character, since some programs read headers as lines.
    """
    if key is not None and has_control(event.get("partitionkey") or ""):
        event = replace(event, attributes={name: value for name, value in event.attributes.items() if name != "partitionkey"})
    check_characters(event.attributes)
    # Strings, which most attributes are, without a call: this runs for each output.
    headers = [
        (f"ce_{name}", (value if type(value) is str else to_text(value)).encode())
        for name, value in event.attributes.items()
        if name != "datacontenttype"
    ]
    content_type = event.get("datacontenttype")
    if content_type is not None:
        headers.append(("content-type", content_type.encode()))
    partition_key = event.get("partitionkey")
    if key is None and partition_key is not None:
        key = partition_key.encode()
    return Message(key, event.payload(), headers)


def attributes_of_place(record: Record, timestamp: int, source: str) -> dict[str, AttributeValue]:
    """Return the attributes that a KafkaSource gives to a record that is no event, from where and when it was written."""
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "source": source,
        "type": KNATIVE_KAFKA_RECORD,
        "subject": f"partition:{record.partition}#{record.offset}",
    }
    time = _time(timestamp)
    return attributes if time is None else attributes | {"time": time}


def header_attribute(header: str) -> str:
    """Return the extension of such an event that has the value of a record's header."""
    return "kafkaheader" + re.sub("[^a-z0-9]", "", header.lower())


def _time(milliseconds: int) -> str | None:
    """Return a record's time; None without one, and for one beyond the calendar, since producers write any number."""
    if milliseconds < 0:
        return None
    try:
        time = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _no_json(value: bytes, error: orjson.JSONDecodeError) -> InvalidEvent:
    found = registry.split(value)
    if found is None:
        remedy = "publish one JSON value, or set the event's datacontenttype"
        return InvalidEvent(f"the event's data is not JSON: {error}", remedy=remedy)
    return InvalidEvent(
        f"the event's data is not JSON, but a value with the schema {found.schema} of a registry",
        remedy="set TIDEGATE_SCHEMA_REGISTRY to the registry's URL",
    )


def _wrap(record: Record, timestamp: int) -> dict[str, AttributeValue]:
    attributes = attributes_of_place(record, timestamp, f"/kafka/{record.topic}") | {"datacontenttype": "application/json"}
    # An attribute holds strings only; a key or header that is not UTF-8 is left out.
    extensions = [("key", record.key)] + [(header_attribute(name), value) for name, value in record.headers if name != "content-type"]
    return attributes | {name: text for name, value in extensions if (text := _text_or_none(value)) is not None}


def _with_key(event: Event, key: bytes | None) -> Event:
    attributes = dict(event.attributes)
    _add_key(attributes, key)
    return Event(attributes, event.data)


def _add_key(attributes: dict[str, AttributeValue], key: bytes | None) -> None:
    if "partitionkey" not in attributes and (text := _text_or_none(key)):
        attributes["partitionkey"] = text


def _text_or_none(value: bytes | None) -> str | None:
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
        raise InvalidEvent(f"the record's header {name} is not UTF-8", remedy="publish headers in UTF-8") from None
