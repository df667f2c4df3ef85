from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.router.outcomes.replies import answers_of, disagreement, failed_statuses, scores_of

V2 = {"outputs": [{"name": "label", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]}
V2["outputs"].append({"name": "late", "shape": [2, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.7, 0.4, 0.5, 0.1]})
EVENT = {"specversion": "1.0", "id": "1", "source": "/models/m", "type": "dev.tidegate.inference.completed"}


@pytest.mark.parametrize(
    ("reply", "items", "scores"),
    [
        (V2, 1, [[0.1, 0.4]]),
        (V2, 2, [[0.1], [0.4]]),
        (V2, 3, [[], [], []]),
        ({"outputs": [{"shape": [1], "data": [None]}]}, 1, [[]]),
        ({"outputs": [{"shape": [3], "data": [1.0]}]}, 1, [[]]),
        ({"predictions": [0.25, 0.5]}, 1, [[0.25, 0.5]]),
        ({"predictions": [{"late": 0.25, "label": "a"}]}, 1, [[0.25]]),
        ({"name": "x", "late": 0.75}, 1, [[0.75]]),
        ({"probabilities": [0.2, 0.8]}, 1, [[0.2]]),
        ({"late": True}, 1, [[]]),
        ({**EVENT, "data": {"late": 0.5}}, 1, [[0.5]]),
        ([{**EVENT, "data": {"late": 0.5}}, {**EVENT, "data": {"error": "x"}}], 2, [[0.5], []]),
        ([{**EVENT, "data": {"late": 0.5}}], 2, [[], []]),
        ("text", 2, [[], []]),
    ],
)
def test_the_first_number_of_each_item_is_its_score(reply: Any, items: int, scores: list[list[float]]) -> None:
    assert scores_of(orjson.dumps(reply), items) == scores


@pytest.mark.parametrize(
    ("reply", "items", "ids"),
    [
        ({"id": "a", "outputs": [{"shape": [1], "data": [0.5]}]}, 1, ["a"]),
        ({"id": "a", "outputs": [{"shape": [1, 2], "data": [0.5, 0.5]}]}, 1, ["a"]),
        ({"id": "a", **V2}, 1, [None]),  # an id of two rows
        ({"id": "a", **V2}, 2, [None, None]),
        ({"id": 7, "outputs": [{"shape": [1], "data": [0.5]}]}, 1, [None]),
        ({"outputs": [{"shape": [1], "data": [0.5]}]}, 1, [None]),
        ({**EVENT, "data": {"late": 0.5}}, 1, ["1"]),
        ({**EVENT, "data": {"id": "other", "late": 0.5}}, 1, ["1"]),
        ([{**EVENT, "id": "2", "data": 0.5}, {**EVENT, "id": "3", "data": 0.25}], 2, ["2", "3"]),
        ([{**EVENT, "data": 0.5}], 1, ["1"]),
        ([{**EVENT, "data": 0.5}, {**EVENT, "id": "2", "data": 0.5}], 1, [None]),
        ({**EVENT, "type": "dev.tidegate.inference.failed", "data": {"status": 500}}, 1, [None]),
    ],
)
def test_an_id_names_one_score(reply: Any, items: int, ids: list[str | None]) -> None:
    assert [answer.id for answer in answers_of(orjson.dumps(reply), items)] == ids


def test_an_event_in_binary_mode_has_its_id_beside_the_body() -> None:
    assert answers_of(b'{"late": 0.5}', 1, "r1") == [([0.5], "r1")]
    assert answers_of(b"{}", 1, "r1") == [([], None)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["outputs", "predictions", "shape", "data", "specversion", "type", "status", "id"]), inner)
    ),
    max_leaves=12,
)


@given(JSON.map(orjson.dumps) | st.binary(max_size=20), st.integers(1, 4))
def test_any_reply_has_an_entry_for_each_item(body: bytes, items: int) -> None:
    assert len(scores_of(body, items)) == items
    assert all(isinstance(status, int) for status in failed_statuses(body))


def test_the_statuses_of_failed_events_are_found_by_position() -> None:
    failed = {**EVENT, "type": "dev.tidegate.inference.failed", "data": {"status": 400}}
    assert failed_statuses(orjson.dumps([EVENT, failed, {**failed, "data": "?"}])) == [0, 400, 500]


@pytest.mark.parametrize(
    ("caller", "shadow", "tolerance", "found"),
    [
        ([0.4], [0.6], None, (True, pytest.approx(0.2))),
        ([0.5], [0.9], None, (False, pytest.approx(0.4))),
        ([0.1, 0.9], [0.2, 0.4], None, (True, pytest.approx(-0.5))),
        ([10.0], [12.0], 2.0, (False, 2.0)),
        ([10.0], [12.5], 2.0, (True, 2.5)),
        ([], [1.0], None, None),
        ([1.0], [1.0, 2.0], 1.0, None),
    ],
)
def test_answers_disagree_across_one_half_or_beyond_the_tolerance(
    caller: list[float], shadow: list[float], tolerance: float | None, found: object
) -> None:
    assert disagreement(caller, shadow, tolerance) == found
