from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventing import deadletter
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.reply import Problem, completed, failed
from tidegate.replay.answers import AnswerIndex, Kind


@dataclass(frozen=True)
class Stored:
    """A record of a topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    topic: str = "out"
    partition: int = 3
    offset: int = 7
    timestamp: int = 1_000


def stored(message: Message, **place: Any) -> Stored:
    return Stored(message.key, message.value, list(message.headers), **place)


def event(id_: str, source: str = "/airline") -> Event:
    attributes = {"specversion": "1.0", "id": id_, "source": source, "type": "departed", "datacontenttype": "application/json"}
    return Event(attributes, b'{"a": 1}')


def reply(of: Event, score: Any, version: str | None = "v1", model: str = "flights") -> Stored:
    return stored(codec.encode(completed(of, model, version, {"late": score})))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.floats(0, 1)), max_size=40, unique_by=lambda pair: pair[0]))
def test_answer_is_found_by_its_event(answered: list[tuple[str, float]]) -> None:
    events = [event(f"x{id_.encode().hex()}") for id_, _ in answered]
    index = AnswerIndex("flights", "late")
    for one, (_, score) in zip(reversed(events), reversed(answered), strict=True):
        index.add_reply(reply(one, score))
    found = index.find([*events, event("other")])
    assert [item.score for item in found[:-1]] == [score for _, score in answered]
    assert all(item.kind is Kind.SCORED and item.version == "v1" and item.written_ms == 1_000 for item in found[:-1])
    assert found[-1].kind is Kind.MISSING


def test_id_belongs_to_its_source() -> None:
    index = AnswerIndex("flights", "late")
    index.add_reply(reply(event("1", "/a"), 0.25))
    assert [answer.kind for answer in index.find([event("1", "/a"), event("1", "/b")])] == [Kind.SCORED, Kind.MISSING]


def test_first_of_several_answers_counts() -> None:
    index = AnswerIndex("flights", "late")
    for score in (0.25, 0.75):
        index.add_reply(reply(event("1"), score))
    assert index.find([event("1")])[0].score == 0.25


def test_versions_are_counted() -> None:
    index = AnswerIndex("flights", "late")
    for number, version in enumerate(["v1", "v2", "v1", None]):
        index.add_reply(reply(event(str(number)), 0.5, version))
    assert index.versions == {"v1": 2, "v2": 1, "": 1}


def test_records_that_are_no_answers_are_ignored() -> None:
    index = AnswerIndex("flights", "late")
    index.add_reply(reply(event("1"), 0.5, model="trains"))
    index.add_reply(stored(codec.encode(failed(event("2"), "flights", Problem(400, "no", "no.")))))
    index.add_reply(stored(Message(None, b"{", [("ce_id", b"1")])))
    index.add_reply(stored(Message(None, b"text", [])))
    index.add_dead_letter(reply(event("3"), 0.5))
    assert len(index) == 0
    assert index.find([event("1")])[0].kind is Kind.MISSING


def test_answer_without_the_score_has_none() -> None:
    index = AnswerIndex("flights", "late")
    for number, score in enumerate((None, "much", True)):
        index.add_reply(reply(event(str(number)), score))
    assert all(math.isnan(answer.score) for answer in index.find([event("0"), event("1"), event("2")]))


def test_dead_letter_is_found_by_the_event_in_it() -> None:
    rejection = Rejection(Problem(400, "invalid input", "carrier is 'ZZ'."), 1)
    index = AnswerIndex("flights", "late")
    with_attributes, plain = event("1"), stored(Message(None, b'{"a": 1}', []), topic="departed", partition=2, offset=41)
    original = stored(codec.encode(with_attributes), topic="departed")
    for record in (original, plain):
        letter = deadletter.to_dead_letter(record, rejection, stream="s", destination="http://x/models/flights")
        index.add_dead_letter(stored(letter, topic="departed.deadletter", partition=0, offset=0))
    # A record that is no event has an id by its own place.
    assert [answer.kind for answer in index.find([with_attributes, codec.decode(plain)])] == [Kind.REJECTED, Kind.REJECTED]
    assert index.find([codec.decode(replace(plain, offset=42))])[0].kind is Kind.MISSING
