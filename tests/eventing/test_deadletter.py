from __future__ import annotations

import base64
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing import deadletter
from eventing.codecs.kafka import Message
from eventing.deadletter import Original, Rejection
from eventing.errors import InvalidEvent
from eventing.reply import Problem


@dataclass(frozen=True)
class Record:
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    topic: str = "flights.departed"
    partition: int = 2
    offset: int = 17


REJECTION = Rejection(Problem(400, "invalid input", "the flight has no distance.", {"model": "flights"}), 3)
records = st.builds(
    Record,
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(
        st.tuples(st.text() | st.sampled_from(["ce_id", "tidegate_origin", "tidegate_nulls"]), st.none() | st.binary()), max_size=6
    ),
)


def enclose(record: Record) -> Message:
    return deadletter.enclose(record, REJECTION, stream="tidegate-flights", destination="http://router/models/flights")


@given(records)
def test_the_original_is_restored_byte_for_byte(record: Record) -> None:
    letter = enclose(record)
    assert deadletter.original(letter.key, letter.value, letter.headers) == Original(record.key, record.value, record.headers)


@given(records)
def test_a_dead_letter_can_always_be_produced(record: Record) -> None:
    letter = enclose(record)
    assert letter.key is not None or letter.value is not None
    assert all(isinstance(value, bytes) for _, value in letter.headers)


def test_a_dead_letter_of_a_dead_letter_gives_the_inner_one() -> None:
    inner = enclose(Record(b"k", b"v", [("ce_id", b"1")]))
    outer = enclose(Record(inner.key, inner.value, list(inner.headers), topic="flights.deadletter", offset=3))
    assert dict(outer.headers)["tidegate_origin"] == b"flights.deadletter/2/3"
    assert deadletter.original(outer.key, outer.value, outer.headers).headers == inner.headers


def test_it_says_what_failed_and_why() -> None:
    headers = dict(enclose(Record(b"k", b"v", [("ce_id", b"1")])).headers)
    assert headers["tidegate_origin"] == b"flights.departed/2/17"
    assert headers["tidegate_attempts"] == b"3"
    problem = {"model": "flights", "title": "invalid input", "status": 400, "detail": "the flight has no distance."}
    assert orjson.loads(headers["tidegate_problem"]) == problem
    assert headers["ce_knativeerrordest"] == b"http://router/models/flights"
    assert headers["ce_knativeerrorcode"] == b"400"
    assert orjson.loads(base64.b64decode(headers["ce_knativeerrordata"])) == problem


def test_a_record_that_is_no_event_is_not_made_to_look_like_one() -> None:
    assert not any(name.startswith("ce_") for name, _ in enclose(Record(b"k", b"v", [])).headers)


@given(records)
def test_the_problem_can_be_read_again(record: Record) -> None:
    assert deadletter.problem_of(enclose(record).headers) == REJECTION.problem


def test_a_record_that_is_no_dead_letter_is_told_so() -> None:
    with pytest.raises(InvalidEvent, match="no dead letter"):
        deadletter.original(b"k", b"v", [("ce_id", b"1")])
