"""Fuzzing with almost valid requests: every response conforms to the protocol, and the function survives."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.fuzz import campaign
from loadtest.fuzz.judge import verdict
from loadtest.fuzz.model import discover
from loadtest.fuzz.wire import Reply, Request, Target

# Requests of each of two kinds: about five seconds.
EXAMPLES = 200


def test_any_request_is_answered_correctly(server: Any) -> None:
    before = server.mebibytes()
    target = Target(server.port)
    campaign.run(target, discover(target), number=20, examples=EXAMPLES, damages=1)
    assert server.metric("tidegate_requests_in_flight") == 0
    assert server.mebibytes() - before < 100


def test_valid_request_passes_the_check(server: Any) -> None:
    request = Request("/v2/models/wide/infer", (), server.matrix(3), rows=3)
    reply = Target(server.port).exchange(request)
    assert reply is not None
    assert verdict(request, reply) == ""
    assert verdict(Request(request.path, (), request.body, rows=4), reply) == "answers for [3] rows, 4 were sent"


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        (None, "no answer"),
        (Reply(500, {}, b"{}"), "status 500"),
        (Reply(200, {}, b"{}"), "no well-formed answer"),
        (Reply(200, {}, b'{"outputs":[{"name":"y","shape":[2],"data":[1]}]}'), "y has 1 values, its shape is [2]"),
        (Reply(400, {"content-type": "application/json"}, b'{"error":"%b"}' % (b"x" * 5_000)), "not a short sentence"),
        (Reply(400, {"content-type": "text/plain"}, b"oh"), "no well-formed answer"),
    ],
)
def test_wrong_answer_fails_the_check(reply: Reply | None, wrong: str) -> None:
    assert wrong in verdict(Request("/v2/models/wide/infer", (), b"{}"), reply)
