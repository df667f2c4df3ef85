from __future__ import annotations

import math
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.router.parts import Part, positions_by_arm
from functions.router.reply import CompleteReply
from functions.router.tensors import Body, join, keys_of, parse, take
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.knative.traffic import Arm

ARMS = [Arm(revision=name, percent=1, url="") for name in "abc"]
VALUES = st.none() | st.integers(-(2**31), 2**31) | st.text(max_size=5)


# Type codes of `struct`, and the values of a column.
BINARY = {"BOOL": "?", "INT8": "b", "UINT16": "H", "INT32": "i", "FP32": "f", "FP64": "d", "UINT64": "Q"}


@st.composite
def json_tensors(draw: st.DrawFn, rows: int) -> tuple[dict[str, Any], bytes]:
    """One column, or a row of several values, flat or nested."""
    width = draw(st.integers(1, 3))
    nested = [[draw(VALUES) for _ in range(width)] for _ in range(rows)]
    flat = [value for row in nested for value in row]
    shape = [rows] if width == 1 and draw(st.booleans()) else [rows, width]
    return {"name": draw(st.text(max_size=3)), "shape": shape, "datatype": "BYTES", "data": draw(st.sampled_from([nested, flat]))}, b""


@st.composite
def binary_tensors(draw: st.DrawFn, rows: int) -> tuple[dict[str, Any], bytes]:
    axes = draw(st.sampled_from([[], [1], [3], [2, 2], [0]]))
    count = rows * math.prod(axes)
    datatype = draw(st.sampled_from([*BINARY, "FP16", "BF16", "BYTES"]))
    if datatype == "BYTES":
        strings = draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
        content = b"".join(len(item).to_bytes(4, "little") + item for item in strings)
    else:
        size = struct.calcsize(BINARY.get(datatype, "H")) * count
        content = draw(st.binary(min_size=size, max_size=size))
    parameters = {"binary_data_size": len(content), "own": 1}
    return {"name": draw(st.text(max_size=3)), "shape": [rows, *axes], "datatype": datatype, "parameters": parameters}, content


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], list[bytes], list[Arm]]:
    arms = draw(st.lists(st.sampled_from(ARMS), min_size=1, max_size=6))
    tensors = st.one_of(json_tensors(rows=len(arms)), binary_tensors(rows=len(arms)))
    inputs, contents = zip(*draw(st.lists(tensors, min_size=1, max_size=3)), strict=True)
    keys = [f"k{n}" for n in range(len(arms))]
    return {"id": "7", "parameters": {"routing_keys": keys, "own": 1}, "inputs": list(inputs)}, list(contents), arms


def part(arm: Arm, positions: list[int], value: Any, body: Body | None = None) -> Part:
    content = value if isinstance(value, bytes) else orjson.dumps(value)
    if body is None or body.json_length is None:
        return Part(arm, positions, CompleteReply(200, [], content))
    headers = [(b"inference-header-content-length", b"%d" % len(content))]
    return Part(arm, positions, CompleteReply(200, headers, content + body.content[body.json_length :]))


def flat(tensor: dict[str, Any]) -> list[Any]:
    return [value for item in tensor["data"] for value in (item if isinstance(item, list) else [item])]


@given(requests())
def test_rows_are_joined_in_order_with_their_revisions(drawn: tuple[dict[str, Any], list[bytes], list[Arm]]) -> None:
    request, contents, arms = drawn
    head = orjson.dumps(request)
    message = parse(head + b"".join(contents), len(head))
    assert message is not None
    parts = []
    for arm, positions in positions_by_arm(arms).items():
        body = take(message, positions)
        sent = orjson.loads(body.content[: body.json_length])
        assert sent["id"] == "7"
        assert sent["parameters"] == {"own": 1}
        # A model whose outputs are its inputs.
        parts.append(part(arm, positions, {"model_name": "m", "outputs": sent["inputs"]}, body))
    joined = join(parts)
    *outputs, revisions = orjson.loads(joined.content[: joined.json_length])["outputs"]
    rest = b"" if joined.json_length is None else joined.content[joined.json_length :]
    for given_tensor, found in zip(request["inputs"], outputs, strict=True):
        assert (found["shape"], found["datatype"], found.get("parameters")) == (
            given_tensor["shape"],
            given_tensor["datatype"],
            given_tensor.get("parameters"),
        )
        if "data" in given_tensor:
            assert found["data"] == flat(given_tensor)
    assert rest == b"".join(contents)
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
        return orjson.loads(join([part(ARMS[row], [row], answer) for row, answer in enumerate(answers)]).content)

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


def test_outputs_are_requested_as_the_caller_requests_them() -> None:
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
    sent = orjson.loads(take(request, [0]).content)
    assert (sent["parameters"], sent["outputs"]) == ({"binary_data_output": True}, outputs)


def binary_column(size: int, **fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": size}} | fields


@pytest.mark.parametrize(
    ("tensor", "rest", "message"),
    [
        (binary_column(8), b"1234567", "input x has 7 bytes, but its shape requires 8"),
        (binary_column(8), b"123456789", "1 bytes follow those of the tensors, whose binary_data_size add up to 8"),
        (binary_column(7), b"1234567", "input x has 7 bytes, but its shape requires 8"),
        (binary_column(8, shape=[3]), b"12345678", "has 2 keys, but input x has 3 rows"),
        (binary_column(8, shape=[2, 10**18]), b"12345678", "input x has 8 bytes, but its shape requires 8000000000000000000"),
        (binary_column(8, shape=[2] * 9), b"12345678", "needs a shape"),
        (binary_column(8, datatype="FP128"), b"12345678", "a datatype that has no binary form"),
        (binary_column(8, datatype=[]), b"12345678", "a datatype that has no binary form"),
        (binary_column(7, datatype="BYTES"), b"\x01\0\0\0a\0\0", "7 bytes, which are fewer than 2 strings"),
        (binary_column(8, datatype="BYTES"), b"\x01\0\0\0\x09\0\0\0", "8 bytes, which are fewer than 2 strings"),
        (binary_column(9, datatype="BYTES"), b"\0" * 9, "9 bytes, which are not those of 2 strings"),
        (binary_column(8, datatype="BYTES", shape=[2, 10**12]), b"\0" * 8, "fewer than 2000000000000 strings"),
        (binary_column(-1), b"", "needs a shape, and data"),
        (binary_column(True), b"", "needs a shape, and data"),
    ],
)
def test_binary_data_that_are_not_those_of_the_rows_are_refused(tensor: dict[str, Any], rest: bytes, message: str) -> None:
    head = orjson.dumps({"parameters": {"routing_keys": ["a", "b"]}, "inputs": [tensor]})
    with pytest.raises(InvalidInput, match=message):
        parse(head + rest, len(head))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (column(shape=[1], data=[1]), binary_column(4, shape=[1])),
        (binary_column(4, shape=[1]), binary_column(4, shape=[1], datatype="INT32")),
        (binary_column(4, shape=[1]), binary_column(3, shape=[1])),
    ],
)
def test_outputs_of_different_forms_cannot_be_joined(first: dict[str, Any], second: dict[str, Any]) -> None:
    parts = []
    for row, tensor in enumerate((first, second)):
        size = tensor.get("parameters", {}).get("binary_data_size", 0)
        parts.append(part(ARMS[row], [row], {"outputs": [tensor]}, Body(b"1234"[:size], 0)))
    with pytest.raises(BadAnswer, match="revision"):
        join(parts)
