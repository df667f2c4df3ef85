from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.router.parts import Part, positions_by_arm
from functions.router.reply import CompleteReply
from functions.router.tensors import join, keys_of, parse, take
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.knative.traffic import Arm

ARMS = [Arm(revision=name, percent=1, url="") for name in "abc"]
VALUES = st.none() | st.integers(-(2**31), 2**31) | st.text(max_size=5)


@st.composite
def tensors(draw: st.DrawFn, rows: int) -> dict[str, Any]:
    """One column, or a row of several values, flat or nested."""
    width = draw(st.integers(1, 3))
    nested = [[draw(VALUES) for _ in range(width)] for _ in range(rows)]
    flat = [value for row in nested for value in row]
    shape = [rows] if width == 1 and draw(st.booleans()) else [rows, width]
    return {"name": draw(st.text(max_size=3)), "shape": shape, "datatype": "BYTES", "data": draw(st.sampled_from([nested, flat]))}


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], list[Arm]]:
    arms = draw(st.lists(st.sampled_from(ARMS), min_size=1, max_size=6))
    inputs = draw(st.lists(tensors(rows=len(arms)), min_size=1, max_size=3))
    return {"id": "7", "parameters": {"routing_keys": [f"k{n}" for n in range(len(arms))], "own": 1}, "inputs": inputs}, arms


def part(arm: Arm, positions: list[int], value: Any) -> Part:
    return Part(arm, positions, CompleteReply(200, [], value if isinstance(value, bytes) else orjson.dumps(value)))


def flat(tensor: dict[str, Any]) -> list[Any]:
    return [value for item in tensor["data"] for value in (item if isinstance(item, list) else [item])]


@given(requests())
def test_rows_are_joined_in_order_with_their_revisions(drawn: tuple[dict[str, Any], list[Arm]]) -> None:
    request, arms = drawn
    message = parse(orjson.dumps(request))
    assert message is not None
    parts = []
    for arm, positions in positions_by_arm(arms).items():
        sent = orjson.loads(take(message, positions))
        assert sent["id"] == "7"
        assert sent["parameters"] == {"own": 1}
        # A model whose outputs are its inputs.
        parts.append(part(arm, positions, {"model_name": "m", "outputs": sent["inputs"]}))
    *outputs, revisions = orjson.loads(join(parts))["outputs"]
    for given_tensor, found in zip(request["inputs"], outputs, strict=True):
        assert (found["shape"], found["data"]) == (given_tensor["shape"], flat(given_tensor))
    assert revisions == {"name": "revision", "shape": [len(arms)], "datatype": "BYTES", "data": [arm.revision for arm in arms]}


@pytest.mark.parametrize(
    "body", [b"{}", b'{"inputs":[]}', b'{"parameters":{"x":"routing_keys"}}', b'{"x":["routing_keys"]}', b"\x00binary"]
)
def test_a_request_without_keys_is_not_split(body: bytes) -> None:
    assert parse(body) is None


def column(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]} | fields


@pytest.mark.parametrize(
    ("keys", "inputs", "message"),
    [
        (["a"], [column()], "has 1 keys, but input x has 2 rows"),
        (["a", "b", "c"], [column()], "has 3 keys, but input x has 2 rows"),
        (["a", "b"], [column(data=[1, 2, 3])], "has 3 values, which its shape"),
        (["a", "b"], [column(shape=[])], "needs a shape"),
        (["a", "b"], [{"name": "x"}], "needs a shape"),
        (["a", "b"], [], "no inputs"),
        ([], [column(shape=[0], data=[])], "no rows"),
        (["a", None], [column()], "an array of strings"),
        ("ab", [column()], "an array of strings"),
    ],
)
def test_keys_that_do_not_match_the_rows_are_refused(keys: Any, inputs: list[Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(orjson.dumps({"parameters": {"routing_keys": keys}, "inputs": inputs}))


def test_rows_that_cannot_be_serialized_are_refused() -> None:
    deep = b"[" * 300 + b"]" * 300
    body = b'{"parameters":{"routing_keys":["a"]},"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[%s]}]}' % deep
    message = parse(body)
    assert message is not None
    with pytest.raises(InvalidInput, match="nest its data less deeply"):
        take(message, [0])


def test_keys_are_those_of_headers_and_events() -> None:
    message = parse(orjson.dumps({"parameters": {"routing_keys": ["N1", "ü"]}, "inputs": [column()]}))
    assert message is not None
    assert keys_of(message) == [b"N1", "ü".encode()]


def test_a_version_is_kept_where_all_rows_have_it() -> None:
    def joined(*versions: str) -> Any:
        answers = [{"model_name": "m", "model_version": version, "outputs": [column(shape=[1], data=[1])]} for version in versions]
        return orjson.loads(join([part(ARMS[row], [row], answer) for row, answer in enumerate(answers)]))

    assert joined("1", "1")["model_version"] == "1"
    assert "model_version" not in joined("1", "2")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"outputs":[{}]}', b'{"outputs":[{"name":"x","shape":[2],"data":[1]}]}'])
def test_an_invalid_reply_names_its_revision(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="revision a"):
        join([part(ARMS[0], [0, 1], body)])


def test_different_outputs_cannot_be_joined() -> None:
    answers = [{"outputs": [column(name=name, shape=[1], data=[1])]} for name in "xy"]
    with pytest.raises(BadAnswer, match="revisions a and b return different outputs"):
        join([part(ARMS[row], [row], answer) for row, answer in enumerate(answers)])


def test_parts_request_json_even_if_the_caller_wants_binary() -> None:
    outputs = [{"name": "p", "parameters": {"binary_data": True, "own": 1}}, {"name": "q"}, 3]
    request = parse(
        orjson.dumps(
            {
                "parameters": {"routing_keys": ["a"], "binary_data_output": True},
                "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}],
                "outputs": outputs,
            }
        )
    )
    assert request is not None
    sent = orjson.loads(take(request, [0]))
    assert "parameters" not in sent
    assert sent["outputs"] == [{"name": "p", "parameters": {"own": 1}}, {"name": "q"}, 3]
