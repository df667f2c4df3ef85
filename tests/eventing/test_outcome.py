from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.distinct import RELATIVE_ERROR, Distinct
from eventing.event import Event
from eventing.outcome import BAD_OUTCOMES, ArmOutcome, Outcome, ShadowOutcome, from_event

DIGESTS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(0, 2**40)
NUMBERS = st.floats(0, 1e9)


def sketch(digests: list[int]) -> Distinct:
    distinct = Distinct()
    for digest in digests:
        distinct.add(digest)
    return distinct


ARMS = st.builds(
    ArmOutcome,
    revision=st.uuids().map(str),
    percent=st.integers(0, 100),
    requests=COUNTS,
    errors=COUNTS,
    rejections=COUNTS,
    slow=COUNTS,
    cold=COUNTS,
    forced=COUNTS,
    keys=st.lists(DIGESTS).map(sketch),
    latencies=st.lists(COUNTS, max_size=18),
    scores=st.lists(st.floats(-1e9, 1e9), max_size=8),
    score_keys=st.lists(DIGESTS, max_size=8),
    score_ids=st.lists(st.integers(0, 2**53 - 1), max_size=8),
    bad_keys=st.dictionaries(st.sampled_from(BAD_OUTCOMES), st.lists(DIGESTS, max_size=8)),
)
SHADOWS = st.builds(
    ShadowOutcome,
    revision=st.uuids().map(str),
    pairs=COUNTS,
    disagreements=COUNTS,
    dropped=COUNTS,
    failed=COUNTS,
    differences=st.lists(st.floats(-1e9, 1e9), max_size=8),
    keys=st.lists(st.tuples(DIGESTS, st.booleans()), max_size=8),
)
OUTCOMES = st.builds(
    Outcome,
    router=st.uuids().map(str),
    model=st.just("flights"),
    sequence=st.integers(1, 2**40),
    rollout=st.text(max_size=20),
    started=NUMBERS,
    seconds=NUMBERS,
    arms=st.lists(ARMS, min_size=1, max_size=3, unique_by=lambda arm: arm.revision),
    shadow=st.none() | SHADOWS,
)


@given(OUTCOMES)
def test_an_outcome_survives_its_event(outcome: Outcome) -> None:
    event = outcome.to_event()
    received = Event(event.attributes, orjson.dumps(event.data))

    assert from_event(received) == outcome


EVENT = Outcome(
    router="router-1",
    model="flights",
    sequence=1,
    rollout="",
    started=0.0,
    seconds=1.0,
    arms=[ArmOutcome(revision="flights-00001", percent=95), ArmOutcome(revision="flights-00002", percent=5)],
).to_event()


def test_an_outcome_of_a_router_that_reports_no_ids_is_read() -> None:
    first, *rest = EVENT.data["arms"]
    old = {name: value for name, value in first.items() if name != "score_ids"}
    assert from_event(Event(EVENT.attributes, {**EVENT.data, "arms": [old, *rest]})).arms[0].score_ids == ()


SHADOW = {"revision": "flights-00003", "pairs": 0, "disagreements": 0, "dropped": 0, "failed": 0, "differences": [], "keys": []}


@pytest.mark.parametrize(
    ("changes", "arm", "sentence"),
    [
        ({"sequence": 0}, {}, "sequence of the outcome must be an integer from 1"),
        ({"sequence": True}, {}, "sequence of the outcome must be an integer from 1"),
        ({"model": "other"}, {}, "the outcome is about another model, or from another router"),
        ({"router": "other"}, {}, "the outcome is about another model, or from another router"),
        ({"started": -1}, {}, "started of the outcome must be a number"),
        ({"arms": []}, {}, "must have at least one arm"),
        ({"arms": [{}] * 17}, {}, "arms of the outcome must be an array of at most 16 items"),
        ({}, {"percent": 101}, "percent of arm 1 of the outcome must be an integer from 0 to 100"),
        ({}, {"errors": -1}, "errors of arm 1 of the outcome must be an integer from 0"),
        ({}, {"revision": "flights-00001"}, "each revision once"),
        ({}, {"keys": "AAAA"}, "the sketch of distinct keys is not base64 of 256 registers"),
        ({}, {"keys": "é"}, "the sketch of distinct keys is not base64 of 256 registers"),
        ({}, {"scores": [None]}, "scores of arm 1 of the outcome must be an array of numbers"),
        ({}, {"score_keys": [2**32]}, "score_keys of arm 1 of the outcome must be an array of integers from 0 to 4294967295"),
        ({}, {"score_ids": [2**53]}, "score_ids of arm 1 of the outcome must be an array of integers from 0 to 9007199254740991"),
        ({}, {"bad_keys": {"other": []}}, "must be an object with keys among errors, rejections, slow"),
        (
            {},
            {"bad_keys": {"errors": [2**32]}},
            "errors of bad_keys of arm 1 of the outcome must be an array of integers from 0 to 4294967295",
        ),
        ({}, {"bad_keys": {"errors": [1] * 1024, "slow": [1]}}, "lists more than 1024 keys"),
        ({"shadow": []}, {}, "the shadow of the outcome must be an object"),
        ({"shadow": SHADOW | {"pairs": "1"}}, {}, "pairs of the shadow of the outcome must be an integer"),
        ({"shadow": SHADOW | {"keys": [[1]]}}, {}, "keys of the shadow of the outcome must be an array of pairs"),
        ({"shadow": SHADOW | {"keys": [[2**32, True]]}}, {}, "keys of the shadow of the outcome must be an array of pairs"),
    ],
)
def test_an_invalid_outcome_is_refused_by_the_name_of_its_field(changes: dict[str, Any], arm: dict[str, Any], sentence: str) -> None:
    first, second = EVENT.data["arms"]
    data = EVENT.data | {"arms": [first, second | arm]} | changes

    with pytest.raises(InvalidEvent, match=sentence):
        from_event(Event(EVENT.attributes, data))


@given(st.lists(DIGESTS), st.lists(DIGESTS))
def test_sketches_merge_in_any_order_and_more_than_once(left: list[int], right: list[int]) -> None:
    merged = sketch(left)
    merged.merge(sketch(right))
    merged.merge(sketch(right))

    assert merged == sketch(right + left)
    assert Distinct.from_text(merged.to_text()) == merged


@pytest.mark.parametrize("count", [0, 1, 50, 500, 5_000, 50_000])
def test_a_sketch_estimates_the_number_of_distinct_keys(count: int) -> None:
    digests = [int.from_bytes(blake2b(str(index).encode(), digest_size=4).digest(), "big") for index in range(count)]

    assert abs(len(sketch(digests * 2)) - count) <= 3 * RELATIVE_ERROR * count
