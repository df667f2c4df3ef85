from __future__ import annotations

import string

import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event, to_text

text = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(lambda name: name != "datacontenttype")
attributes = st.builds(
    lambda more, identity, source, kind: {**more, "specversion": "1.0", "id": identity, "source": source, "type": kind},
    st.dictionaries(names, text | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4),
    text.filter(bool),
    text.filter(bool),
    text.filter(bool),
)
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}


@given(attributes, st.none() | st.binary(min_size=1))
def test_event_survives_binary_mode(attributes: dict[str, str | int | bool], data: bytes | None) -> None:
    event = Event({**attributes, "datacontenttype": "application/octet-stream"}, data)
    message = http.encode([event], Mode.BINARY)
    assert all(0x21 <= ord(char) <= 0x7E for name, value in message.headers.items() if name.startswith("ce-") for char in value)
    assert http.mode_of(message.headers) is Mode.BINARY
    (back,) = http.decode(message, Mode.BINARY)
    assert back == Event({name: to_text(value) for name, value in event.attributes.items()}, data)


@given(attributes, st.sampled_from([Mode.STRUCTURED, Mode.BATCH]))
def test_event_survives_structured_and_batch_mode(attributes: dict[str, str | int | bool], mode: Mode) -> None:
    attributes.pop("data", None)
    event = Event(attributes, {"a": [1, None, "x"]})
    message = http.encode([event], mode)
    assert http.mode_of(message.headers) is mode
    assert http.decode(message, mode) == [event]


def test_header_values_are_percent_encoded_as_in_the_binding() -> None:
    message = http.encode([Event({**MINIMAL, "subject": 'Euro € 😀 "%"'})], Mode.BINARY)
    assert message.headers["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25%22"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_codec_and_sdk_read_each_other(subject: str) -> None:
    theirs = CloudEvent({"id": "1", "source": "/a", "type": "t", "subject": subject, "datacontenttype": "application/json"}, {"a": 1})
    sent = sdk.to_binary_event(theirs)
    (ours,) = http.decode(Message({name.lower(): value for name, value in sent.headers.items()}, sent.body), Mode.BINARY)
    assert (ours.get("subject"), ours.value()) == (subject, {"a": 1})
    message = http.encode([ours], Mode.BINARY)
    back = sdk.from_binary_event(sdk.HTTPMessage(dict(message.headers), message.body))
    assert (back.get_subject(), back.get_data()) == (subject, {"a": 1})


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [
        ("application/cloudevents+json", Mode.STRUCTURED),
        ("Application/CloudEvents+JSON; charset=utf-8", Mode.STRUCTURED),
        ("application/cloudevents-batch+json ;charset=utf-8", Mode.BATCH),
        ("application/json", Mode.BINARY),
    ],
)
def test_content_type_takes_precedence_over_ce_headers(content_type: str, mode: Mode) -> None:
    assert http.mode_of({"content-type": content_type, "ce-id": "stray"}) is mode


def test_plain_request_carries_no_event() -> None:
    assert http.mode_of({"content-type": "application/json"}) is None
    assert http.mode_of({}) is None


def test_unsupported_event_format_is_named() -> None:
    with pytest.raises(InvalidEvent, match="unsupported event format application/cloudevents\\+avro"):
        http.mode_of({"content-type": "application/cloudevents+avro"})


def test_binary_message_without_an_id_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="the event has no id"):
        http.decode(Message({"ce-specversion": "1.0", "ce-source": "/a", "ce-type": "t"}, b""), Mode.BINARY)


def test_binary_message_with_invalid_json_is_refused() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "t", "content-type": "application/json"}
    with pytest.raises(InvalidEvent, match="data is not JSON"):
        http.decode(Message(headers, b'1},{"specversion":"1.0","id":"2","source":"/b","type":"t","data":1'), Mode.BINARY)
    (event,) = http.decode(Message({**headers, "content-type": "text/plain"}, b"1},{"), Mode.BINARY)
    assert event.data == b"1},{"


def subject_of(value: str) -> str | None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "t", "ce-subject": value}
    (event,) = http.decode(Message(headers, b""), Mode.BINARY)
    return event.get("subject")


@pytest.mark.parametrize(
    ("sent", "subject"),
    [
        ("Z%C3%BCrich%20%25", "Zürich %"),
        ("Zürich €".encode().decode("latin-1"), "Zürich €"),  # as Go's SDK sends it, and as a server reads bytes
        ("Zürich %E2%82%AC".encode().decode("latin-1"), "Zürich €"),
        ("Zürich €", "Zürich €"),
        ('"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
        ('"50%25"', "50%"),
        ('"%22"', '"'),
        ('a "b" c', 'a "b" c'),
        ('"a" b', '"a" b'),
        ('"', '"'),
        ("a\\b", "a\\b"),
        ("a+b", "a+b"),
        ("%2525", "%25"),
    ],
)
def test_header_value_is_unquoted_then_percent_decoded_once(sent: str, subject: str) -> None:
    assert subject_of(sent) == subject


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("50%", "percent sign"),
        ("%zz", "percent sign"),
        ("%C", "percent sign"),
        ('"50%"', "percent sign"),
        ("%C3", "not UTF-8"),
        ("%C0%A0", "not UTF-8"),
        ("%ED%A0%80", "not UTF-8"),
        ("Z\xfcrich", "not UTF-8"),
    ],
)
def test_undecodable_header_value_is_named(sent: str, words: str) -> None:
    with pytest.raises(InvalidEvent, match=f"ce-subject .*{words}"):
        subject_of(sent)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_raw_utf_8_header_is_decoded(value: str) -> None:
    sent = value.replace("%", "%25").encode().decode("latin-1")
    assert subject_of("x" + sent) == "x" + value
    escaped = sent.replace("\\", "\\\\").replace('"', '\\"')
    assert subject_of(f'"x{escaped}"') == "x" + value


@given(attributes, st.binary(min_size=1))
def test_verbatim_event_has_the_data_of_the_message(attributes: dict[str, str | int | bool], data: bytes) -> None:
    event = Event({**attributes, "datacontenttype": "application/json"}, data)
    (back,) = http.decode(http.encode([event], Mode.BINARY), Mode.BINARY, verbatim=True)
    assert back == Event({name: to_text(value) for name, value in event.attributes.items()}, data)


def test_bytes_without_a_type_are_not_declared_to_be_json() -> None:
    attributes = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
    assert "content-type" not in http.encode([Event(attributes, b"hello")], Mode.BINARY).headers
    assert http.encode([Event(attributes, {"a": 1})], Mode.BINARY).headers["content-type"] == "application/json"
