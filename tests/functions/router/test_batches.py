from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from functions.router.batches import join, parse, refusal, take
from functions.router.parts import Part, UnusableReply, in_order, positions_by_arm
from functions.router.reply import CompleteReply
from functions.runtime.knative.traffic import Arm

EVENTS = [{"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "partitionkey": f"k{number}"} for number in range(3)]
ARMS = [Arm(revision=f"r{number}", percent=1, url="") for number in range(4)]


def part(value: Any, status: int = 200, positions: tuple[int, ...] = (0, 1, 2), arm: int = 0) -> Part:
    reply = CompleteReply(status, [], value if isinstance(value, bytes) else orjson.dumps(value))
    return Part(ARMS[arm], positions, reply, take(EVENTS, positions))


def joined(*parts: Part) -> Any:
    return orjson.loads(join("flights", parts))


@given(st.lists(st.sampled_from(ARMS)))
def test_parts_are_joined_in_order(assigned: list[Arm]) -> None:
    parts = positions_by_arm(assigned)
    assert all(positions and positions == sorted(positions) for positions in parts.values())
    joined = in_order((positions, [(arm, position) for position in positions]) for arm, positions in parts.items())
    assert joined == [(arm, position) for position, arm in enumerate(assigned)]


def test_replies_are_not_changed() -> None:
    assert orjson.loads(take(EVENTS, [0, 2])) == [EVENTS[0], EVENTS[2]]
    assert joined(part([1, {"x": None}], positions=(0, 2)), part(["y"], positions=(1,), arm=1)) == [1, "y", {"x": None}]


@pytest.mark.parametrize("value", [[1, 2], [], [1, 2, 3, 4], {}, "text", b"", b"[1,2,3"])
def test_a_reply_that_is_not_one_for_each_event_is_of_no_use(value: Any) -> None:
    good, bad = part(["x"], positions=(0,), arm=1), part(value)
    with pytest.raises(UnusableReply, match=r"revision r0 returned (no batch|. replies) for 3 events; see its log") as caught:
        joined(good, bad)
    assert caught.value.part is bad


def test_a_problem_goes_into_each_failure() -> None:
    problem = {"status": 1, "title": "overloaded", "detail": "busy."}
    busy, _, gone = joined(part(problem, 429, (0,)), part(["y"], positions=(1,), arm=1), part(b"upstream connect error", 503, (2,), 2))
    assert busy["type"] == "dev.tidegate.inference.failed"
    assert busy["data"] == {"status": 429, "title": "overloaded", "detail": "busy."}
    assert gone["data"]["detail"] == "revision r2 responded 503: upstream connect error"


def test_parts_are_joined_if_one_succeeded() -> None:
    good, busy, invalid = part([]), part({}, 503), part({}, 400)
    assert refusal([good, busy]) is None
    assert refusal([busy, busy]) is busy.reply
    # One invalid event must not fail its neighbours: the sender gets the status, as without a split.
    assert refusal([good, invalid]) is invalid.reply
    assert refusal([good, part({}, 400, (0,))]) is None


@pytest.mark.parametrize("body", [b"{", b"{}", b"[1]", b'[{"id":"1"}]', b'[{"id":"1","source":""}]'])
def test_a_batch_without_keys_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        parse(body)
