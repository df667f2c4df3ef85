"""Events of the records that a KafkaSource reads, as Knative's data plane makes them (`InvalidCloudEventInterceptor`)."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from common.errors import InvalidEvent
from eventing.codecs import kafka
from eventing.event import SPECVERSION, AttributeValue, Event, check, check_characters
from eventing.kafka.port import ConsumedRecord
from eventing.types import KNATIVE_KAFKA_RECORD

KEY_TYPE = "kafkasources.sources.knative.dev/key-type"
"""The label of a KafkaSource that says how a record's key is read: `string` (the default), `int`, `float`, `byte-array`."""

_CONTENT_TYPE = "content-type"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_of(record: ConsumedRecord, *, source: str, key_type: str = "string") -> Event:
    """Return the event of a record. A record that is no CloudEvent is the data of one, of the source at this path.

    Raises InvalidEvent for such a record whose key or headers are no attributes.
    """
    try:
        return kafka.decode_verbatim(record)
    except InvalidEvent:
        return _wrapped(record, source, key_type)


def _wrapped(record: ConsumedRecord, source: str, key_type: str) -> Event:
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "time": _time(record.timestamp),
        "type": KNATIVE_KAFKA_RECORD,
        "source": f"{source}#{record.topic}",
        "subject": f"partition:{record.partition}#{record.offset}",
    }
    if record.key:
        key = _KEYS.get(key_type, _string)(record.key)
        attributes |= {"partitionkey": key, "key": key}
    for name, value in record.headers:
        if name.lower() == _CONTENT_TYPE:
            attributes["datacontenttype"] = _string(value or b"").lower()
        else:
            attributes["kafkaheader" + re.sub("[^a-z0-9]", "", name.lower())] = _string(value or b"")
    check(attributes)
    check_characters(attributes)
    return Event(attributes, record.value)


def _time(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
