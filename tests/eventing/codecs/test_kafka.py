from __future__ import annotations

import string
from dataclasses import dataclass, field

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import json, kafka
from eventing.event import Event, to_text


@dataclass(frozen=True)
class Record:
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    topic: str = "flights.departed"
    partition: int = 3
    offset: int = 41


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
control = st.characters(categories=["Cc"])
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(lambda name: name != "datacontenttype")
attributes = st.builds(
    lambda more, identity, key: {**more, "specversion": "1.0", "id": identity, "source": "/a", "type": "t", "partitionkey": key},
    st.dictionaries(names, text | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4),
    text.filter(bool),
    text.filter(bool),
)
BINARY: list[tuple[str, bytes | None]] = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"t")]


@given(attributes, st.none() | st.binary())
def test_event_survives_binary_mode(attributes: dict[str, str | int | bool], data: bytes | None) -> None:
    event = Event({**attributes, "datacontenttype": "application/octet-stream"}, data)
    message = kafka.encode(event)
    assert message.key == to_text(attributes["partitionkey"]).encode()
    back = kafka.decode(Record(message.key, message.value, list(message.headers)))
    assert back == Event({name: to_text(value) for name, value in event.attributes.items()}, data)


@given(attributes)
def test_structured_event_takes_precedence_over_ce_headers(attributes: dict[str, str | int | bool]) -> None:
    attributes.pop("data", None)
    event = Event(attributes, {"a": 1})
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8"), ("ce_id", b"stray")]
    assert kafka.decode(Record(b"key", json.encode(event), list(headers))) == event


def test_codec_and_sdk_read_each_other() -> None:
    theirs = CloudEvent({"id": "1", "source": "/a", "type": "t", "partitionkey": "N1", "datacontenttype": "application/json"}, {"a": "é"})
    sent = sdk.to_binary_event(theirs)
    key = sent.key.encode() if isinstance(sent.key, str) else sent.key
    ours = kafka.decode(Record(key, sent.value, list(sent.headers.items())))
    assert (ours.get("partitionkey"), ours.value()) == ("N1", {"a": "é"})
    message = kafka.encode(ours)
    back = sdk.from_binary_event(sdk.KafkaMessage(dict(message.headers), message.key, message.value or b""))
    assert (back.get_id(), back.get_data()) == ("1", {"a": "é"})


def test_other_record_is_wrapped_as_by_a_kafka_source() -> None:
    headers = [("X-Trace_Id", b"7"), ("binary", b"\xff"), ("null", None), ("content-type", b"application/json")]
    event = kafka.decode(Record(b"N1", b'{"a": 1}', list(headers)))
    assert event.id == "partition:3/offset:41"
    assert event.type == "dev.knative.kafka.event"
    assert event.get("subject") == "partition:3#41"
    assert (event.get("key"), event.get("partitionkey")) == ("N1", "N1")
    assert {name: event.get(name) for name in event.attributes if name.startswith("kafkaheader")} == {"kafkaheaderxtraceid": "7"}
    assert event.value() == {"a": 1}
    assert kafka.decode(Record(b"\xff", b"1")).get("key") is None


@pytest.mark.parametrize(
    "headers", [[], BINARY, [("content-type", b"application/json")], [("content-type", b"application/cloudevents+json")]]
)
@pytest.mark.parametrize("value", [b"{}", b'{"specversion":"1.0","id":"1","source":"/a","type":"t"}'])
def test_wrapped_records_are_those_that_get_their_place_as_an_id(headers: list[tuple[str, bytes | None]], value: bytes) -> None:
    record = Record(None, value, headers)
    try:
        event = kafka.decode(record)
    except InvalidEvent:
        return  # with the content type of an event, and none
    assert kafka.is_wrapped(record) is (event.id == "partition:3/offset:41")


def test_key_does_not_replace_a_partition_key() -> None:
    assert kafka.decode(Record(b"record", b"1", [*BINARY, ("ce_partitionkey", b"event")])).get("partitionkey") == "event"
    assert kafka.decode(Record(b"\xff", b"1", BINARY)).get("partitionkey") is None
    assert kafka.encode(Event({"partitionkey": "event"}), b"record").key == b"record"


def test_event_without_data_is_a_null_value() -> None:
    event = kafka.decode(Record(b"k", None, BINARY))
    assert event.data is None
    assert kafka.encode(event).value is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(value=b"{", headers=BINARY), "data is not JSON"),
        (Record(value=b""), "data is not JSON"),
        (Record(value=b"1 2", headers=BINARY), "data is not JSON"),
        (Record(value=b"\xff\xfe"), "data is not JSON"),
        (Record(value=b"{}", headers=[("ce_id", b"1")]), "has no source"),
        (Record(value=b"{}", headers=[("ce_source", b"/a"), ("ce_type", b"t"), ("ce_specversion", b"1.0")]), "has no id"),
        (Record(value=b"{}", headers=[*BINARY, ("ce_subject", b"\xff")]), "ce_subject is not UTF-8"),
        (Record(value=b"{}", headers=[*BINARY[:3], ("ce_type", None)]), "type is ''"),
        (Record(value=b"{}", headers=[("content-type", b"\xff")]), "content-type is not UTF-8"),
        (Record(value=None, headers=[("content-type", b"application/cloudevents+json")]), "not JSON"),
    ],
)
def test_invalid_record_is_refused_with_the_reason(record: Record, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        kafka.decode(record)


def test_data_of_another_type_is_unchanged() -> None:
    assert kafka.decode(Record(value=b"\xff", headers=[*BINARY, ("content-type", b"image/png")])).data == b"\xff"


EVENT = Event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}, {"a": 1})


@given(control, st.sampled_from(["id", "source", "type", "subject", "other"]))
def test_control_character_in_an_attribute_is_refused(character: str, name: str) -> None:
    event = EVENT.with_attributes(**{name: f"a{character}b"})
    headers = [(f"ce_{each}", to_text(value).encode()) for each, value in event.attributes.items()]
    structured = [("content-type", b"application/cloudevents+json")]
    with pytest.raises(InvalidEvent, match=f"the event's attribute {name} has a control character"):
        kafka.encode(event)
    with pytest.raises(InvalidEvent, match=f"the event's attribute {name} has a control character"):
        kafka.decode(Record(value=b"1", headers=list(headers)))
    with pytest.raises(InvalidEvent, match=f"the event's attribute {name} has a control character"):
        kafka.decode(Record(value=json.encode(event), headers=list(structured)))


def test_binary_key_in_utf8_is_a_partition_key_without_a_header() -> None:
    number = (1234).to_bytes(8, "big")[:7] + b"\x05"
    event = kafka.decode(Record(number, b"{}", []))
    assert event.get("partitionkey") == number.decode()
    message = kafka.encode(EVENT.with_attributes(partitionkey=number.decode()), number)
    assert message.key == number
    assert "ce_partitionkey" not in dict(message.headers)
    with pytest.raises(InvalidEvent, match="partitionkey has a control character"):
        kafka.encode(EVENT.with_attributes(partitionkey=number.decode()))


def test_structured_event_without_a_content_type_is_decoded() -> None:
    assert kafka.decode(Record(b"N1", json.encode(EVENT), [("trace", b"7")])) == EVENT.with_attributes(partitionkey="N1")
    with pytest.raises(InvalidEvent, match="the event has no source"):
        kafka.decode(Record(None, b'{"specversion":"1.0","id":"1","type":"t","data":{}}'))


@pytest.mark.parametrize(
    "value", [b'{"specversion": "2.0", "id": "1"}', b'[{"specversion": "1.0"}]', b'{"a": {"specversion": "1.0"}}', b'"\\"specversion\\""']
)
def test_value_that_only_mentions_a_specversion_is_data(value: bytes) -> None:
    assert kafka.decode(Record(None, value)).type == "dev.knative.kafka.event"


def test_content_type_takes_precedence_over_the_value() -> None:
    assert kafka.decode(Record(None, json.encode(EVENT), [("content-type", b"application/json")])).type == "dev.knative.kafka.event"


@given(attributes, st.none() | st.binary())
def test_verbatim_event_has_the_data_of_the_record(attributes: dict[str, str | int | bool], data: bytes | None) -> None:
    event = Event({**attributes, "datacontenttype": "application/json"}, data)
    message = kafka.encode(event)
    back = kafka.decode_verbatim(Record(message.key, message.value, list(message.headers)))
    assert back == Event({name: to_text(value) for name, value in event.attributes.items()}, data)


@given(attributes)
def test_verbatim_event_may_be_structured(attributes: dict[str, str | int | bool]) -> None:
    attributes.pop("data", None)
    event = Event(attributes, {"a": 1})
    assert kafka.decode_verbatim(Record(b"key", json.encode(event), [("content-type", b"application/cloudevents+json")])) == event


@pytest.mark.parametrize(
    "record",
    [Record(), Record(b"key", b"{}", [("content-type", b"application/json")]), Record(None, b"{", [("ce_id", b"1")])],
    ids=["empty", "json", "incomplete"],
)
def test_verbatim_event_needs_the_attributes_of_an_event(record: Record) -> None:
    with pytest.raises(InvalidEvent, match="the event has no"):
        kafka.decode_verbatim(record)
