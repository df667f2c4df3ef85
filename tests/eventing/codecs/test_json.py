from __future__ import annotations

import base64
import string

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.event import Event

text = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(
    lambda name: name not in {"data", "datacontenttype"}
)
values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
required = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": text.filter(bool),
        "source": text.filter(bool),
        "type": text.filter(bool),
    }
)
extensions = st.dictionaries(names, text | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4)
attributes = st.builds(lambda more, basic: {**more, **basic}, extensions, required)
with_value = st.builds(Event, attributes, st.none() | values)
with_bytes = st.builds(
    lambda attributes, content_type, data: Event({**attributes, "datacontenttype": content_type}, data),
    attributes,
    st.sampled_from(["application/octet-stream", "text/plain", "text/csv; charset=latin-1", "application/xml"]),
    st.binary(),
)
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}


@given(with_value | with_bytes)
def test_event_survives_the_json_format(event: Event) -> None:
    assert json.decode(json.encode(event)) == event


@given(st.lists(with_value | with_bytes, max_size=5))
def test_batch_keeps_the_order_of_its_events(events: list[Event]) -> None:
    assert json.decode_batch(json.encode_batch(events)) == events


@given(attributes, values)
def test_json_data_in_bytes_is_written_as_a_value(attributes: dict[str, str | int | bool], value: object) -> None:
    event = Event({**attributes, "datacontenttype": "application/json"}, orjson.dumps(value))
    assert json.decode(json.encode(event)).value() == value


@given(values.filter(lambda value: isinstance(value, dict)))
def test_codec_and_sdk_read_each_other(value: dict[str, object]) -> None:
    theirs = CloudEvent({"id": "1", "source": "/a", "type": "t", "subject": "s", "datacontenttype": "application/json"}, value)
    ours = json.decode(JSONFormat().write(theirs))
    assert ours.value() == value
    assert ours.get("subject") == "s"
    back = JSONFormat().read(CloudEvent, json.encode(ours))
    assert back.get_data() == value
    assert back.get_id() == "1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"specversion":"1.0","source":"/a","type":"t"}', "no id"),
        (b'{"specversion":"1.0","id":"","source":"/a","type":"t"}', "id is ''"),
        (b'{"specversion":"0.3","id":"1","source":"/a","type":"t"}', "unsupported specversion '0.3'"),
        (b'{"specversion":"1.0","id":1,"source":"/a","type":"t"}', "id is 1"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","Extra":"x"}', "invalid attribute name 'Extra'"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","extra":{}}', "attribute extra"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","data":1,"data_base64":"AA=="}', "both data and data_base64"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":"?"}', "not Base64"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":7}', "not Base64"),
        (b'{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":""}', "data is not JSON"),
    ],
)
def test_invalid_event_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        json.decode(body)


@given(st.binary())
def test_any_bytes_raise_only_invalid_event(body: bytes) -> None:
    for decode in (json.decode, json.decode_batch):
        try:
            decode(body)
        except InvalidEvent as error:
            assert str(error)  # noqa: PT017


def test_invalid_event_of_a_batch_is_named_by_its_place() -> None:
    with pytest.raises(InvalidEvent, match="event 1 of the batch: the event has no id"):
        json.decode_batch(orjson.dumps([MINIMAL, {"specversion": "1.0"}]))
    with pytest.raises(InvalidEvent, match="JSON array"):
        json.decode_batch(orjson.dumps(MINIMAL))


def test_null_attribute_counts_as_missing() -> None:
    assert json.decode(orjson.dumps({**MINIMAL, "subject": None, "data": None})) == Event(MINIMAL)


def test_base64_of_json_cannot_add_events_to_a_batch() -> None:
    def body(data: bytes) -> bytes:
        return orjson.dumps({**MINIMAL, "datacontenttype": "application/json", "data_base64": base64.b64encode(data).decode()})

    with pytest.raises(InvalidEvent, match="data is not JSON"):
        json.decode(body(b'1},{"specversion":"1.0","id":"2","source":"/b","type":"t","data":1'))
    assert json.decode(body(b' {"a": 1}')).data == {"a": 1}


def test_too_deep_event_is_refused_when_written() -> None:
    event = json.decode(orjson.dumps(MINIMAL)[:-1] + b',"data":' + b"[" * 300 + b"]" * 300 + b"}")
    for write in (json.encode, lambda event: json.encode_batch([event]), Event.payload):
        with pytest.raises(InvalidEvent, match="send data with at most 254 levels"):
            write(event)
