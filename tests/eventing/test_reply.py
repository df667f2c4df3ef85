from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.event import Event
from eventing.reply import Problem, completed, failed, reply_id
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED

KEPT = {"subject": "UA1545", "partitionkey": "N14228", "traceparent": "00-a-b-01", "correlationid": "c", "deadletterreplay": "r"}
REQUEST = Event({"specversion": "1.0", "id": "7", "source": "/airline", "type": "departed", "other": "x", **KEPT})

DEEP = orjson.loads(b"[" * 1000 + b"]" * 1000)


def test_reply_can_be_joined_to_its_request() -> None:
    reply = completed(REQUEST, "flights", "v1", {"delayed": 0.5})
    assert reply.type == INFERENCE_COMPLETED
    assert reply.source == "/models/flights"
    assert (reply.get("causationid"), reply.get("modelversion")) == ("7", "v1")
    assert {name: reply.get(name) for name in KEPT} == KEPT
    assert reply.get("other") is None
    assert reply.data == {"delayed": 0.5}


def test_failed_reply_carries_its_problem() -> None:
    problem = Problem(400, "invalid input", "no distance.", {"model": "flights"})
    reply = failed(REQUEST, "flights", problem)
    assert reply.type == INFERENCE_FAILED
    assert reply.id == completed(REQUEST, "flights", "v2", None).id
    assert Problem.from_json(reply.data) == problem


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), unique=True, min_size=2, max_size=2))
def test_reply_id_is_equal_for_equal_requests_only(requests: list[tuple[str, str, str]]) -> None:
    try:
        first, second = (reply_id(*request) for request in requests)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text that an event can carry
    assert first != second
    assert first == reply_id(*requests[0])


@pytest.mark.parametrize(
    "value", [None, [], "text", {}, {"status": "400"}, {"status": None, "detail": 7}, [[]], {"detail": {"a": []}}, DEEP, {"detail": DEEP}]
)
def test_malformed_problem_is_read_as_status_500(value: object) -> None:
    problem = Problem.from_json(value)
    assert problem.status == 500
    assert problem.detail
