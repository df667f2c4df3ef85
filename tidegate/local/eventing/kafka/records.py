"""Events of the records that a KafkaSource reads, as Knative's data plane makes them (`InvalidCloudEventInterceptor`)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping

from common.errors import InvalidEvent
from eventing.codecs import kafka
from eventing.event import AttributeValue, Event, check, check_characters
from eventing.kafka.port import ConsumedRecord

KEY_TYPE = "kafkasources.sources.knative.dev/key-type"
"""The label of a KafkaSource that says how a record's key is read: `string` (the default), `int`, `float`, `byte-array`."""

_CONTENT_TYPE = "content-type"


def event_of(record: ConsumedRecord, *, source: str, key_type: str = "string") -> Event:
    """Return the event of a record. A record that is no CloudEvent is the data of one, of the source at this path.

    Raises InvalidEvent for such a record whose key or headers are no attributes.
    """
    try:
        return kafka.decode_verbatim(record)
    except InvalidEvent:
        return _wrapped(record, source, key_type)


def _wrapped(record: ConsumedRecord, source: str, key_type: str) -> Event:
    attributes = kafka.attributes_of_place(record, record.timestamp, f"{source}#{record.topic}")
    if record.key:
        key = _KEYS.get(key_type, _string)(record.key)
        attributes |= {"partitionkey": key, "key": key}
    for name, value in record.headers:
        if name.lower() == _CONTENT_TYPE:
            attributes["datacontenttype"] = _string(value or b"").lower()
        else:
            attributes[kafka.header_attribute(name)] = _string(value or b"")
    check(attributes)
    check_characters(attributes)
    return Event(attributes, record.value)


def _string(raw: bytes) -> str:
    # As Java decodes UTF-8.
    return raw.decode("utf-8", "replace")


def _integer(raw: bytes) -> AttributeValue:
    return int.from_bytes(raw, "big", signed=True) if len(raw) == 4 else _string(raw)


def _float(raw: bytes) -> str:
    if len(raw) == 8:
        return repr(struct.unpack(">d", raw)[0])
    if len(raw) != 4:
        return _string(raw)
    (value,) = struct.unpack(">f", raw)
    # The shortest text that means this number of 32 bits.
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return repr(float(next((text for text in texts if struct.pack(">f", float(text)) == raw), value)))


def _binary(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_KEYS: Mapping[str, Callable[[bytes], AttributeValue]] = {"int": _integer, "float": _float, "byte-array": _binary}
