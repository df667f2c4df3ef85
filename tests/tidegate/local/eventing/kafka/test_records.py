"""Events of Kafka records, as Knative's KafkaSource makes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import kafka
from eventing.event import AttributeValue, Event
from tests.tidegate.local.eventing.harness import event
from tidegate.local.eventing.kafka.records import event_of

SOURCE = "/apis/v1/namespaces/default/kafkasources/orders"


@dataclass
class Record:
    value: bytes | None = b"data"
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    topic: str = "orders-topic"
    partition: int = 0
    offset: int = 123
    timestamp: int = 1_795_000_000_123


def test_a_record_that_is_no_event_is_the_data_of_one() -> None:
    headers: list[tuple[str, bytes | None]] = [("Trace-Id", b"abc"), ("content-type", b"Text/Plain"), ("empty", None)]
    assert event_of(Record(key=b"k", headers=headers), source=SOURCE) == Event(
        {
            "specversion": "1.0",
            "id": "partition:0/offset:123",
            "time": "2026-11-18T11:06:40.123Z",
            "type": "dev.knative.kafka.event",
            "source": f"{SOURCE}#orders-topic",
            "subject": "partition:0#123",
            "partitionkey": "k",
            "key": "k",
            "kafkaheadertraceid": "abc",
            "datacontenttype": "text/plain",
            "kafkaheaderempty": "",
        },
        b"data",
    )


def test_an_event_keeps_its_attributes_and_its_data_as_it_is() -> None:
    sent = event(1, partitionkey="k")
    message = kafka.encode(sent)
    found = event_of(Record(message.value, message.key, list(message.headers)), source=SOURCE)
    assert found == sent


@pytest.mark.parametrize("value", [b"{", b'{"specversion": "1.0"}', None], ids=["no-json", "no-id", "nothing"])
def test_what_claims_to_be_an_event_and_is_none_is_data_too(value: bytes | None) -> None:
    found = event_of(Record(value, headers=[("content-type", b"application/cloudevents+json")]), source=SOURCE)
    assert (found.type, found.data) == ("dev.knative.kafka.event", value)


@pytest.mark.parametrize(
    ("key_type", "key", "expected"),
    [
        ("string", b"12", "12"),
        ("string", b"\xff", "\ufffd"),
        ("unknown", b"12", "12"),
        ("int", struct.pack(">i", -7), -7),
        ("int", b"12", "12"),
        ("float", struct.pack(">f", 0.1), "0.1"),
        ("float", struct.pack(">d", 0.1), "0.1"),
        ("float", struct.pack(">f", float("nan")), "nan"),
        ("float", b"0.1", "0.1"),
        ("byte-array", b"\x00\xff", "AP8="),
    ],
)
def test_a_key_is_read_as_the_label_of_the_source_says(key_type: str, key: bytes, expected: AttributeValue) -> None:
    found = event_of(Record(key=key), source=SOURCE, key_type=key_type)
    assert found.attributes["key"] == found.attributes["partitionkey"] == expected


@given(
    value=st.none() | st.binary(max_size=50),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(
        st.tuples(st.text(max_size=12) | st.sampled_from(["content-type", "ce_id", "ce_specversion"]), st.none() | st.binary(max_size=20))
    ),
    key_type=st.sampled_from(["string", "int", "float", "byte-array"]),
)
def test_any_record_is_an_event_or_is_rejected(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]], key_type: str
) -> None:
    try:
        found = event_of(Record(value, key, headers), source=SOURCE, key_type=key_type)
    except InvalidEvent:
        return
    assert found.id
    assert found.data in {value, None}
