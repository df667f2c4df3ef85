from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.event import Event
from eventing.reply import Problem, completed, failed
from functions.stream.verdict import Answered, Refused, judge

REQUEST = Event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t"})
REPLY = completed(REQUEST, "flights", "v1", 0.5)


def problem(status: int) -> Problem:
    return Problem(status, "title", "detail.")


def test_each_reply_is_judged_by_itself() -> None:
    replies = [REPLY, failed(REQUEST, "flights", problem(503)), failed(REQUEST, "flights", problem(400))]
    verdicts = judge(Answered(replies), 3)
    assert verdicts is not None
    assert [(verdict.event is not None, verdict.retry) for verdict in verdicts] == [(True, False), (False, True), (False, False)]


@pytest.mark.parametrize("status", [404, 408, 425, 429, 500, 502, 503, 504])
@given(count=st.integers(1, 300))
def test_a_call_that_may_succeed_later_is_tried_again_as_it_is(status: int, count: int) -> None:
    verdicts = judge(Refused(problem(status)), count)
    assert verdicts is not None
    assert len(verdicts) == count
    assert all(verdict.retry for verdict in verdicts)


@pytest.mark.parametrize("status", [302, 400, 413, 415, 422])
def test_a_refused_batch_is_divided_until_one_event_is_to_blame(status: int) -> None:
    assert judge(Refused(problem(status)), 2) is None
    verdicts = judge(Refused(problem(status)), 1)
    assert verdicts is not None
    assert [verdict.retry for verdict in verdicts] == [False]


def test_a_reply_too_few_is_tried_again_and_told_in_a_sentence() -> None:
    verdicts = judge(Answered([REPLY]), 2)
    assert verdicts is not None
    assert all(verdict.retry and verdict.problem is not None for verdict in verdicts)
    assert verdicts[0].problem is not None
    assert verdicts[0].problem.detail.startswith("the sink answered 2 events with 1 replies")
