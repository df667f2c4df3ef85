from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import orjson
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.artifacts import loading
from functions.runtime.contract import datatypes
from functions.runtime.contract.card import Artifact, Card, Input, Output, dump
from functions.runtime.errors import InvalidInput
from functions.runtime.inference.registry import DataPlane
from functions.runtime.inference.served import ServedModel
from functions.runtime.observability.metrics import Metrics
from functions.runtime.protocols import bulk, v2
from functions.runtime.protocols.body import parse_json

# Raw JSON for which Python has no equal: spellings of numbers, and objects with duplicate names.
Raw = bytes
TYPECODES = {**dict.fromkeys(datatypes.FLOATS, "d"), **dict.fromkeys(datatypes.WHOLE, "q")}


NUMBER = re.compile(r"is (-?\d[\d.e+-]*);")


class Members(NamedTuple):
    items: list[tuple[str, Any]]


def written(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value
    if isinstance(value, Members):
        return b"{" + b",".join(orjson.dumps(name) + b": " + written(item) for name, item in value.items) + b"}"
    if isinstance(value, list):
        return b"[" + b", ".join(map(written, value)) + b"]"
    return orjson.dumps(value)


def flattened(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from flattened(item)
    else:
        yield value


WHOLE = st.integers(-(2**63), 2**63 - 1).map(lambda value: str(value).encode())
DOUBLES = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: repr(value).encode())
EXTREMES = st.sampled_from(
    b"0 -0 -0.0 1.0 1e39 -1e39 3.4028235e38 3.4028236e38 1e-46 5e-324 2e-324 1.7976931348623157e308 1e400 -1e999 0.1 1E5 1e+5"
    b" 9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615"
    b" 18446744073709551616 100000000000000000000000 0.1000000000000000055511151231257827021181583404541015625".split()
)
WRONG = st.sampled_from(
    [b"null", b"true", b'"text"', b'"["', b"{}", b"[]", b"[1]", b'{"a": [1]}', b"NaN", b"Infinity", b"01", b"1.", b"+1", b""]
)
TEXTS = st.text(st.sampled_from('ab[]{}",:\\\n\0é🐍'), max_size=6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TEXTS, inner), max_size=3).map(Members),
    max_leaves=6,
)


def numbers(datatype: str) -> st.SearchStrategy[bytes]:
    return WHOLE | st.sampled_from([b"1", b"0", b"255"]) if "INT" in datatype else DOUBLES | WHOLE | EXTREMES


def others(datatype: str) -> st.SearchStrategy[Any]:
    return st.booleans() | st.none() if datatype == "BOOL" else TEXTS | st.none()


@st.composite
def tensors(draw: st.DrawFn) -> Members:
    datatype = draw(st.sampled_from([*TYPECODES, "BYTES", "BOOL"]))
    values = numbers(datatype) if datatype in TYPECODES else others(datatype)
    rows, width = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    table: list[Any] = [[draw(values) for _ in range(width)] for _ in range(rows)]
    shape: Any = [rows, width]
    how = draw(st.sampled_from(["rows", "rows", "flat", "flat", "column", "deeper", "ragged", "mixed", "other shape"]))
    if how == "flat" or how == "column":
        table = [value for row in table for value in row]
        shape = shape if how == "flat" else [len(table)]
    elif how == "deeper":
        table = [[[value] for value in row] for row in table] if draw(st.booleans()) else [table]
        shape = draw(st.sampled_from([[rows, width], [rows, width, 1], [1, rows, width]]))
    elif how == "ragged" and rows > 1:
        table[0], table[-1] = table[0] + table[-1][:1], table[-1][1:]
    elif how == "mixed":
        table.insert(draw(st.integers(0, rows)), draw(values))
    elif how == "other shape":
        shape = draw(PLAIN | st.lists(st.integers(-1, 4), max_size=3))
    if draw(st.integers(0, 5)) == 0 and table:
        place = draw(st.integers(0, len(table) - 1))
        wrong = draw(EXTREMES | WRONG)
        table[place] = [*table[place], wrong][1:] if isinstance(table[place], list) else wrong
    members: list[tuple[str, Any]] = [("name", draw(TEXTS)), ("shape", shape), ("datatype", datatype), ("data", table)]
    members += draw(st.lists(st.tuples(TEXTS | st.sampled_from(["name", "data", "shape", "parameters", "datatype"]), PLAIN), max_size=1))
    return Members(draw(st.permutations(members)))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    members: list[tuple[str, Any]] = [("inputs", draw(st.lists(tensors(), min_size=1, max_size=3)))]
    members += draw(st.lists(st.tuples(TEXTS | st.sampled_from(["id", "parameters", "outputs", "inputs"]), PLAIN), max_size=2))
    body = written(Members(draw(st.permutations(members))))
    around = draw(st.sampled_from([(b"", b"")] * 6 + [(b" \n", b"\t\r "), (b"\xef\xbb\xbf", b""), (b"", b"\0"), (b"", b"]"), (b"[", b"]")]))
    return around[0] + body + around[1]


def outcome(parse: Callable[[bytes], Any], body: bytes) -> tuple[str, Any]:
    try:
        return "", parse(body)
    except InvalidInput as error:
        return str(error), None


@given(requests())
def test_result_equals_that_of_the_ordinary_parser(body: bytes) -> None:
    wrong, wanted = outcome(parse_json, body)
    refused, found = outcome(bulk.parse_request, body)
    assert refused == wrong
    if isinstance(found, dict) and isinstance(found.get("inputs"), list):
        for tensor, asked in zip(found["inputs"], wanted["inputs"], strict=True):
            if isinstance(tensor, dict) and isinstance(tensor.get("data"), array):
                check_array(tensor, asked)
                tensor["data"] = asked["data"]
    # Compared as JSON, since 1 equals 1.0 and true.
    assert orjson.dumps(found, option=orjson.OPT_SORT_KEYS) == orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)


def check_array(tensor: dict[str, Any], asked: dict[str, Any]) -> None:
    """An array holds all numbers exactly, and only those that were flat or in rows of their shape."""
    data = tensor["data"]
    assert data.typecode == TYPECODES[tensor["datatype"]]
    flat = list(flattened(asked["data"]))
    assert set(map(type, flat)) <= ({int} if data.typecode == "q" else {int, float})
    assert data.tobytes() == array(data.typecode, flat).tobytes()
    if any(isinstance(row, list) for row in asked["data"]):
        rows, width = asked["shape"]
        assert [len(row) for row in asked["data"]] == [width] * rows
        assert len(flat) == rows * width


@pytest.mark.parametrize(
    ("datatype", "data", "found"),
    [
        ("FP32", "[1, 2.5, -3e38, 4]", array("d", [1, 2.5, -3e38, 4])),
        ("FP64", "[[1, 2], [3, 4.5]]", array("d", [1, 2, 3, 4.5])),
        ("INT64", "[9223372036854775807, -1, 0, 1]", array("q", [2**63 - 1, -1, 0, 1])),
        ("UINT8", "[[1, 2], [3, 4]]", array("q", [1, 2, 3, 4])),
        ("INT64", "[1, 2, 3, 4.0]", [1, 2, 3, 4.0]),
        ("UINT64", "[1, 2, 3, 18446744073709551615]", [1, 2, 3, 2**64 - 1]),
        ("FP32", "[1, 2, 3, null]", [1, 2, 3, None]),
        ("FP32", "[1, 2, 3, true]", [1, 2, 3, True]),
        ("BYTES", "[1, 2, 3, 4]", [1, 2, 3, 4]),
        ("FP32", "[[1, 2, 3], [4]]", [[1, 2, 3], [4]]),
        ("FP32", "[[1], [2], [3], [4]]", [[1], [2], [3], [4]]),
        ("FP32", "[[[1, 2]], [[3, 4]]]", [[[1, 2]], [[3, 4]]]),
        ("FP32", "[[1, 2], [[3], 4]]", [[1, 2], [[3], 4]]),
        ("FP32", "[1, [2], 3, 4]", [1, [2], 3, 4]),
        ("FP32", "[]", []),
    ],
)
def test_only_numbers_nested_as_in_their_shape_become_an_array(datatype: str, data: str, found: Any) -> None:
    body = f'{{"id": "a", "inputs": [{{"name": "x", "shape": [2, 2], "datatype": "{datatype}", "data": {data}}}]}}'
    read = bulk.parse_request(body.encode())["inputs"][0]["data"]
    assert (type(read), read) == (type(found), found)


def test_byte_order_mark_is_refused() -> None:
    with pytest.raises(InvalidInput, match="byte order mark"):
        bulk.parse_request(b"\xef\xbb\xbf" + written(request_of("FP32", [1.0, 2.0])))


def test_names_with_a_nul_are_distinguished() -> None:
    extra: list[tuple[str, Any]] = [("id\0", 1), ("id", "a"), ("id\0x", 2)]
    found = bulk.parse_request(written(Members(request_of("FP32", [1.0]).items + extra)))
    assert {name: found[name] for name, _ in extra} == dict(extra)


def request_of(datatype: str, data: list[Any]) -> Members:
    tensor: list[tuple[str, Any]] = [("name", "x"), ("shape", [len(data)]), ("datatype", datatype), ("data", data)]
    return Members([("inputs", [Members(tensor)])])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ServedModel]:
    """Two models of one booster: `plain` has unbounded floats, `checked` has bounds and integers among its inputs."""
    folder = tmp_path_factory.mktemp("models")
    features = np.random.default_rng(5).random((200, 3), dtype=np.float32)
    booster = xgb.train({"max_depth": 3}, xgb.DMatrix(features, features.sum(1), feature_names=list("abc")), 5)
    plain = (Input("a", "FP32"), Input("b", "FP64", optional=True), Input("c", "FP32", optional=True))
    checked = (Input("a", "FP32", minimum=-1e6), Input("b", "INT32", optional=True), Input("c", "FP64", maximum=10.5))
    return {name: served(folder / name, booster, inputs) for name, inputs in (("plain", plain), ("checked", checked))}


def served(folder: Path, booster: xgb.Booster, inputs: tuple[Input, ...]) -> ServedModel:
    folder.mkdir()
    booster.save_model(folder / "m.ubj")
    (folder / "model.yaml").write_text(dump(Card(folder.name, inputs, (Output("y"),), Artifact("m.ubj"))))
    return DataPlane([(loading.load(folder), lambda: loading.load(folder))], Metrics()).only().model


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model of doubles, which accepts every number of a tensor."""
    folder = tmp_path_factory.mktemp("wide")
    features = np.random.default_rng(5).random((200, 3))
    names = list("abc")
    lgb.train({"verbose": -1}, lgb.Dataset(features, features.sum(1), feature_name=names), 2).save_model(folder / "m.txt")
    inputs = tuple(Input(name, "FP64", optional=True) for name in names)
    (folder / "model.yaml").write_text(dump(Card("wide", inputs, (Output("y"),), Artifact("m.txt"), runtime="lightgbm")))
    return DataPlane([(loading.load(folder), lambda: loading.load(folder))], Metrics()).only().model


def decoded(body: bytes, model: ServedModel, large: bool) -> tuple[str, bytes, list[array[float]]]:
    """Parse a body as a large or a small request; returns the error (with 3.0 as 3), or the rows and predictions."""
    limit = 0 if large else math.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "LARGE_BYTES", limit)
        try:
            rows = v2.decode(body, None, model).rows
        except InvalidInput as error:
            return NUMBER.sub(lambda found: f"is {float(found[1])};", str(error)), b"", []
    kinds = model.outputs.all
    predicted = [model._batcher._model.predict(rows.values, rows.count, output.kind).values for output in kinds]
    return "", array("f", rows.values).tobytes(), predicted


ORDINARY = st.floats(-1e6, 10.5, allow_subnormal=True) | st.floats(-1e6, 10.5, width=32) | st.integers(-1000, 10)
LIMITS = st.sampled_from(
    [1e39, -1e39, 3.4028234663852886e38, 3.4028235677973366e38, 3.5e38, 1e38, 1e300, -0.0, 5e-324, 1e-45, 2**53 + 1, 2**63, None]
)


@given(
    st.sampled_from(["plain", "checked"]),
    st.lists(st.tuples(ORDINARY, st.integers(-9, 9), ORDINARY), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 35), LIMITS), max_size=2),
    st.sampled_from([*datatypes.FLOATS, *datatypes.WHOLE]),
    st.sampled_from(["flat", "rows", "columns"]),
)
def test_predictions_do_not_depend_on_the_parser(
    models: dict[str, ServedModel], name: str, table: list[Any], odd: list[tuple[int, Any]], datatype: str, layout: str
) -> None:
    flat = [int(value) if datatype in datatypes.WHOLE else value for row in table for value in row]
    for place, value in odd:
        flat[place % len(flat)] = value
    count = len(table)
    if layout == "columns":
        columns = ((item, flat[index::3]) for index, item in enumerate("abc"))
        inputs = [{"name": item, "shape": [count], "datatype": datatype, "data": column} for item, column in columns]
    else:
        data = flat if layout == "flat" else [flat[start : start + 3] for start in range(0, len(flat), 3)]
        inputs = [{"name": "x", "shape": [count, 3], "datatype": datatype, "data": data}]
    body = orjson.dumps({"inputs": inputs})
    assert decoded(body, models[name], large=True) == decoded(body, models[name], large=False)


@pytest.mark.parametrize("count", [1, 9, 3_000])
@pytest.mark.parametrize(
    ("name", "said"), [("plain", "too large for the model; send a finite number"), ("checked", "it must be at most 10.5")]
)
def test_number_too_large_has_the_same_error_by_either_parser(models: dict[str, ServedModel], name: str, said: str, count: int) -> None:
    data = [0.5, 1.0, 2.5] * (count - 1) + [0.5, 1.0, 1e39]
    body = orjson.dumps({"inputs": [{"name": "x", "shape": [count, 3], "datatype": "FP64", "data": data}]})
    sentence, *_ = found = decoded(body, models[name], large=True)
    assert found == decoded(body, models[name], large=False)
    assert sentence.startswith(f"row {count - 1}: the input c is ")
    assert said in sentence


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("count", [1, 9, 3_000])
@pytest.mark.parametrize(
    ("datatype", "fits", "value"),
    [
        ("UINT8", [0, 255, 128], "256"),
        ("UINT8", [0, 255, 128], "-1"),
        ("INT8", [-128, 127, 0], "128"),
        ("INT8", [0, 1, 2], "-129"),
        ("UINT16", [0, 65535, 256], "65536"),
        ("INT16", [-32768, 32767, 256], "32768"),
        ("UINT32", [0, 2**32 - 1, 65536], "4294967296"),
        ("INT32", [-(2**31), 2**31 - 1, 65536], "2147483648"),
        ("INT32", [0, 1, 2], "-2147483649"),
        ("UINT64", [0, 2**63 - 1, 2**32], "-1"),
        ("INT64", [-(2**63), 2**63 - 1, 0], "9223372036854775808"),
        ("FP16", [65504.0, -65519.0, 0.5], "65520.0"),
        ("FP16", [0.5, 1, 2], "-1000000.0"),
        ("FP32", [3.4028235677973362e38, -3.4e38, 0], "3.4028235677973366e+38"),
        ("FP32", [0.5, 1, 2], "-1e+39"),
        ("BF16", [3.39e38, -3.39e38, 0.5], "3.4e+38"),
    ],
)
def test_values_out_of_range_for_the_datatype_are_refused(
    wide: ServedModel, datatype: str, fits: list[float], value: str, count: int, gap: bool
) -> None:
    """A null makes a large request use the ordinary parser."""
    tensor = {"name": "x", "shape": [count, 3], "datatype": datatype}
    for last, refused in ((fits[-1], False), (orjson.loads(value), True)):
        data: list[Any] = [*fits * (count - 1), *fits[:2], last]
        if gap and count > 1:
            data[1] = None
        body = orjson.dumps({"inputs": [{**tensor, "data": data}]})
        sentence, *_ = found = decoded(body, wide, large=True)
        assert found == decoded(body, wide, large=False)
        assert sentence == (f"the tensor x has the value {value}, which is out of range for {datatype}." if refused else "")


@pytest.mark.parametrize("count", [1, 9, 3_000])
@pytest.mark.parametrize(
    ("datatype", "value", "column", "said"),
    [
        ("FP64", math.nan, 0, "the input a is missing; send it with every row."),
        ("FP64", math.nan, 2, ""),
        ("FP32", math.nan, 0, "the input a is missing; send it with every row."),
        ("FP64", 1e39, 2, "the input c is too large for the model; send a finite number."),
        ("FP64", math.inf, 1, "the input b is too large for the model; send a finite number."),
        ("FP64", -math.inf, 1, "the input b is too large for the model; send a finite number."),
        ("FP32", math.inf, 1, "the input b is too large for the model; send a finite number."),
        ("FP32", -math.inf, 1, "the input b is too large for the model; send a finite number."),
        ("FP64", 3.4028234663852886e38, 0, ""),
        ("FP32", 3.4028234663852886e38, 0, ""),
    ],
)
def test_invalid_binary_numbers_are_found_among_many(
    models: dict[str, ServedModel], datatype: str, value: float, column: int, said: str, count: int
) -> None:
    data = np.full((count, 3), 0.5, "<f4" if datatype == "FP32" else "<f8")
    data[-1, column] = value
    content = data.tobytes()
    parameters = {"binary_data_size": len(content)}
    # A long id makes the JSON large.
    for request_id in ("short", "x" * bulk.LARGE_BYTES):
        tensor = {"name": "x", "shape": [count, 3], "datatype": datatype, "parameters": parameters}
        head = orjson.dumps({"id": request_id, "inputs": [tensor]})
        if said:
            with pytest.raises(InvalidInput) as caught:
                v2.decode(head + content, len(head), models["plain"])
            assert str(caught.value) == f"row {count - 1}: {said}"
        else:
            rows = v2.decode(head + content, len(head), models["plain"]).rows
            assert array("f", rows.values).tobytes() == data.astype(np.float32).tobytes()


def test_doubles_of_a_large_request_are_not_copied(models: dict[str, ServedModel]) -> None:
    data = [0.25, 1.5, 2.5] * 2_000
    body = orjson.dumps({"inputs": [{"name": "x", "shape": [2_000, 3], "datatype": "FP32", "data": data}]})
    assert len(body) > bulk.LARGE_BYTES
    rows = v2.decode(body, None, models["plain"]).rows
    assert (rows.values, rows.count) == (array("d", data), 2_000)
