from __future__ import annotations

import base64
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs.kafka import Message
from eventing.deadletter import OriginalRecord, Rejection
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


def letter_of(record: Record) -> Message:
    return deadletter.to_dead_letter(record, REJECTION, stream="tidegate-flights", destination="http://router/models/flights")


@given(records)
def test_original_record_is_restored_byte_for_byte(record: Record) -> None:
    letter = letter_of(record)
    assert deadletter.original_record(letter.key, letter.value, letter.headers) == OriginalRecord(record.key, record.value, record.headers)


@given(records)
def test_dead_letter_can_always_be_produced(record: Record) -> None:
    letter = letter_of(record)
    assert letter.key is not None or letter.value is not None
    assert all(isinstance(value, bytes) for _, value in letter.headers)


def test_dead_letter_of_a_dead_letter_restores_the_inner_one() -> None:
    inner = letter_of(Record(b"k", b"v", [("ce_id", b"1")]))
    outer = letter_of(Record(inner.key, inner.value, list(inner.headers), topic="flights.deadletter", offset=3))
    assert dict(outer.headers)["tidegate_origin"] == b"flights.deadletter/2/3"
    assert deadletter.original_record(outer.key, outer.value, outer.headers).headers == inner.headers


def test_dead_letter_has_the_reason_and_the_origin() -> None:
    headers = dict(letter_of(Record(b"k", b"v", [("ce_id", b"1")])).headers)
    assert headers["tidegate_origin"] == b"flights.departed/2/17"
    assert headers["tidegate_attempts"] == b"3"
    problem = {"model": "flights", "title": "invalid input", "status": 400, "detail": "the flight has no distance."}
    assert orjson.loads(headers["tidegate_problem"]) == problem
    assert headers["ce_knativeerrordest"] == b"http://router/models/flights"
    assert headers["ce_knativeerrorcode"] == b"400"
    assert orjson.loads(base64.b64decode(headers["ce_knativeerrordata"])) == problem


def test_dead_letter_of_another_record_has_no_ce_headers() -> None:
    assert not any(name.startswith("ce_") for name, _ in letter_of(Record(b"k", b"v", [])).headers)


@given(records)
def test_problem_can_be_read_from_a_dead_letter(record: Record) -> None:
    assert deadletter.problem_of(letter_of(record).headers) == REJECTION.problem


def test_record_that_is_not_a_dead_letter_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="not a dead letter"):
        deadletter.original_record(b"k", b"v", [("ce_id", b"1")])


@given(records)
def test_original_is_returned_at_its_place(record: Record) -> None:
    letter = letter_of(record)
    stored = Record(letter.key, letter.value, list(letter.headers), "flights.deadletter", 0, 3)
    found = deadletter.original_at_origin(stored)
    assert found == ("flights.departed", 2, 17, record.key, record.value, record.headers)
    assert deadletter.place_of("flights.departed/2/17") == found[:3]


@pytest.mark.parametrize("value", [b"", b"flights", b"a/b/c", b"/1/2", b"a/1/-2", b"a/1/" + b"9" * 5000, b"\xff/\xff/1"])
def test_malformed_origin_is_refused(value: bytes) -> None:
    assert deadletter.place_of(value.decode(errors="replace")) is None
    with pytest.raises(InvalidEvent, match=r"tidegate_origin is .*; it must be a topic, a partition and an offset"):
        deadletter.origin_of([("tidegate_origin", value)])


texts = st.text() | st.sampled_from(["\0" * 100_000, "é" * 100_000])
nested = st.recursive(
    st.none() | texts | st.integers(-(2**63), 2**63 - 1), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
problems = st.builds(Problem, st.integers(-(2**63), 2**63 - 1), texts, texts, st.dictionaries(st.text(), nested, max_size=3))


@given(records, problems)
def test_last_reduced_form_is_small_and_names_its_record(record: Record, problem: Problem) -> None:
    letter = deadletter.to_dead_letter(record, Rejection(problem, 3), stream="g", destination="http://router/models/flights")
    whole, without_value, bare = deadletter.reduced_forms(letter)
    assert whole is letter
    assert without_value.value == b""
    assert (bare.key, bare.value) == (None, b"")
    headers = dict(bare.headers)
    assert sum(len(name) + len(value) for name, value in bare.headers) < 20_000
    assert headers["tidegate_origin"] == b"flights.departed/2/17"
    assert deadletter.problem_of(bare.headers).status == problem.status
    with pytest.raises(InvalidEvent, match="read the record that its tidegate_origin names"):
        deadletter.original_record(bare.key, bare.value, bare.headers)


def test_too_long_reason_is_cut_and_the_record_kept() -> None:
    problem = Problem(422, "t" * 10**6, "d" * 3_000_000, {"model": "flights", "more": "m" * 10**6})
    letter = deadletter.to_dead_letter(Record(b"k", b"v", []), Rejection(problem, 1), stream="g", destination="http://router")
    assert letter.value == b"v"
    cut = deadletter.problem_of(letter.headers)
    assert cut == Problem(422, "t" * 200 + "…", "d" * 2000 + "…", {"model": "flights"})


def test_too_deep_reason_is_cut() -> None:
    deep = orjson.loads(b"[" * 300 + b"]" * 300)
    letter = deadletter.to_dead_letter(
        Record(b"k", b"v", []), Rejection(Problem(400, "t", "d.", {"deep": deep}), 1), stream="g", destination="u"
    )
    assert deadletter.problem_of(letter.headers) == Problem(400, "t", "d.")
