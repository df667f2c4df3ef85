from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import Event, has_control
from eventing.reply import Problem, completed, reply_id
from tests.fixtures.deadletters import Record, letter_of, stored
from tidegate.deadletters.letter import Letter, replay_of
from tidegate.deadletters.restoring import event_of, output_of, record_of
from tidegate.deadletters.restoring import letter_of as rejected_again

BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/airline"), ("ce_type", b"t")]
STRUCTURED = b'{"specversion":"1.0","id":"7","source":"/airline","type":"t","data":{"a":1}}'
values = st.sampled_from([None, b"", b"{}", b'{"a": 1}', b"{no json", b"\xff", STRUCTURED])
media_types = st.sampled_from([None, b"application/json", b"text/plain", b"application/cloudevents+json"])
others = st.lists(st.tuples(st.sampled_from(["x-trace", "Content", "tidegate_origin"]), st.none() | st.binary(max_size=4)), max_size=2)
records = st.builds(
    lambda key, value, binary, content_type, other: Record(key, value, [*(BINARY if binary else []), *content_type, *other]),
    st.sampled_from([None, b"", b"N1", b"\xff"]),
    values,
    st.booleans(),
    media_types.map(lambda value: [] if value is None else [("content-type", value)]),
    others,
)


def decoded(record: Any) -> Event | None:
    try:
        return codec.decode(record)
    except InvalidEvent:
        return None


def written(message: Message, offset: int = 99) -> Record:
    """The record as the broker has it, at another place than the original."""
    value = b"" if message.key is None and message.value is None else message.value
    return Record(message.key, value, list(message.headers), "flights.departed", 3, offset)


@given(records)
@settings(max_examples=200)
def test_replayed_record_is_the_same_event_with_a_mark(record: Record) -> None:
    letter = Letter(stored(letter_of(record), partition=1, offset=5))
    message = record_of(letter, "run-1")
    assert message.key == record.key
    assert replay_of(message.headers) == ("run-1", deadletter.Place("flights.deadletter", 1, 5))
    before, after = decoded(record), decoded(written(message))
    if before is None:
        assert message.value in (record.value, record.value or b"")
        return
    assert after is not None
    kept = {name: value for name, value in after.attributes.items() if name not in ("deadletterreplay", "kafkaheadertidegatereplay")}
    writable = {name: value for name, value in before.attributes.items() if not has_control(str(value))}
    assert kept == writable
    assert after.payload() == before.payload()
    assert reply_id(after.source, after.id, "flights") == reply_id(before.source, before.id, "flights")


@given(records)
def test_record_that_fails_and_is_replayed_again_has_one_mark(record: Record) -> None:
    first = record_of(Letter(stored(letter_of(record), offset=5)), "run-1")
    second = record_of(Letter(stored(letter_of(written(first)), offset=6)), "run-2")
    assert (second.key, second.value or b"") == (first.key, first.value or b"")
    assert [name for name, _ in second.headers].count(deadletter.REPLAY) == 1
    assert replay_of(second.headers) == ("run-2", deadletter.Place("flights.deadletter", 0, 6))
    assert sorted(name for name, _ in second.headers) == sorted(name for name, _ in first.headers)


def test_event_in_binary_mode_keeps_its_headers_and_gets_the_run_as_an_attribute() -> None:
    record = Record(b"N1", b"{}", [*BINARY, ("content-type", b"application/json"), ("x-trace", b"t")])
    message = record_of(Letter(stored(letter_of(record))), "run-1")
    assert message.headers[: len(record.headers)] == list(record.headers)
    assert dict(message.headers)["ce_deadletterreplay"] == b"run-1"
    assert codec.decode(written(message)).get("deadletterreplay") == "run-1"


def test_output_belongs_to_the_original_record_and_carries_the_mark_on() -> None:
    letter = Letter(stored(letter_of(Record(b"N1", b"{}", BINARY)), offset=5))
    event = event_of(letter, "run-1")
    message = output_of(letter, "run-1", completed(event, "flights", "v1", {"late": 0.5}))
    headers = dict(message.headers)
    assert headers["tidegate_origin"] == b"flights.departed/2/17"
    assert headers["tidegate_stream"] == b"tidegate-flights"
    assert headers["ce_id"].decode() == reply_id("/airline", "7", "flights")
    assert headers["ce_deadletterreplay"] == b"run-1"
    assert replay_of(message.headers) == ("run-1", deadletter.Place("flights.deadletter", 0, 5))


def test_letter_of_another_rejection_restores_to_the_same_event() -> None:
    letter = Letter(stored(letter_of(Record(None, b"{}", [])), offset=5))
    again = Letter(stored(rejected_again(letter, "run-1", Problem(422, "t", "d."), attempts=2, destination="http://m"), offset=8))
    assert again.reason.status == 422
    assert again.id == letter.id == "partition:2/offset:17"
    assert again.replayed_by == ("run-1", deadletter.Place("flights.deadletter", 0, 5))
    assert event_of(again, "run-2").attributes == event_of(letter, "run-2").attributes
