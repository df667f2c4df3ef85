from __future__ import annotations

import math
import struct
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract.datatypes import DATATYPES
from functions.runtime.contract.outputs import OutputTensor
from functions.runtime.errors import InvalidInput
from functions.runtime.protocols import tensors

NUMPY = {datatype: np.dtype(datatype.lower().replace("fp", "float")) for datatype in DATATYPES if datatype not in ("BYTES", "BOOL", "BF16")}


def nothing(_: int) -> bytes:
    return b""


def item(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]} | fields


def binary(datatype: str, content: bytes, count: int, size: int | None = None) -> tensors.Tensor:
    head = {"name": "x", "shape": [count], "datatype": datatype, "parameters": {"binary_data_size": len(content) if size is None else size}}
    return tensors.decode(0, head, lambda wanted: content[:wanted])


@given(st.sampled_from(sorted(NUMPY)), st.data())
def test_binary_numbers_of_every_datatype_equal_numpy_s(datatype: str, data: st.DataObject) -> None:
    dtype = NUMPY[datatype]
    numbers = np.frombuffer(data.draw(st.binary(max_size=64).map(lambda raw: raw[: len(raw) // dtype.itemsize * dtype.itemsize])), dtype)
    found = binary(datatype, numbers.astype(dtype.newbyteorder("<")).tobytes(), len(numbers))
    assert np.array_equal(np.array(found.data, dtype), numbers, equal_nan=dtype.kind == "f")


@given(st.lists(st.text(max_size=5)), st.lists(st.booleans()))
def test_binary_strings_and_booleans_are_decoded(texts: list[str], bools: list[bool]) -> None:
    encoded = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    assert binary("BYTES", encoded, len(texts)).data == texts
    assert binary("BOOL", bytes(bools), len(bools)).data == bools
    assert tensors.to_bytes(OutputTensor("x", "BYTES", (len(texts),), texts)) == encoded


def test_outputs_are_written_little_endian() -> None:
    assert tensors.to_bytes(OutputTensor("x", "FP32", (2,), array("f", [1.5, -2]))) == np.array([1.5, -2], "<f4").tobytes()


@given(st.binary(max_size=30), st.integers(0, 4))
def test_any_binary_data_is_strings_or_an_error(content: bytes, count: int) -> None:
    try:
        found = binary("BYTES", content, count)
    except InvalidInput as error:
        sentence = str(error)
    else:
        sentence = f"{len(found.data)} of {count}."
    assert sentence in (f"{count} of {count}.", sentence.replace("\n", ""))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape": [3]}, "has 2 values, but its shape [3] requires 3."),
        ({"shape": []}, "has the invalid shape []; send a list of integers, rows first."),
        ({"shape": [1] * 9}, "send a list of integers, rows first"),
        ({"shape": [True]}, "has the invalid shape [True]"),
        ({"shape": [2**62, 2**62]}, "has 2 values"),
        ({"name": ""}, "inputs[0] has no name"),
        ({"name": None}, "inputs[0] has no name"),
        ({"datatype": ["FP32"]}, "use one of BOOL, UINT8"),
        ({"data": None}, "has no data"),
        ({"data": {"0": 1}}, "has no data"),
        ({"datatype": "INT32", "data": [1, 1.5]}, "of INT32 has the value 1.5."),
        ({"datatype": "BYTES", "data": ["a", 1]}, "of BYTES has the value 1."),
        ({"datatype": "BOOL", "data": [True, 1]}, "of BOOL has the value 1."),
        ({"parameters": []}, "the parameters of the tensor x are a list; send an object."),
        ({"parameters": {"binary_data_size": 8}}, "has both data and binary_data_size; send one of them."),
    ],
)
def test_error_of_a_tensor_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tensors.decode(0, item(**change), nothing)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "content", "count", "size", "sentence"),
    [
        ("FP32", b"\0" * 8, 2, 7, "has 7 bytes, but its shape [2] of FP32 requires 8."),
        ("FP32", b"\0" * 4, 2, 8, "has a binary_data_size of 8 bytes, but only 4 are left in the body."),
        ("FP32", b"", 1, -1, "has the invalid binary_data_size -1"),
        ("FP32", b"", 1, True, "has the invalid binary_data_size true"),
        ("BOOL", b"\2", 1, None, "has a byte that is neither 0 nor 1."),
        ("BYTES", b"\1\0\0\0", 1, None, "ends within a string"),
        ("BYTES", b"\1\0", 1, None, "ends within a string"),
        ("BYTES", b"\xff\xff\xff\xffabc", 1, None, "ends within a string"),
        ("BYTES", b"\1\0\0\0\xff", 1, None, "has a string that is not UTF-8."),
        ("BYTES", b"\0\0\0\0" * 3, 2, None, "has 3 values, but its shape [2] requires 2."),
    ],
)
def test_error_of_binary_data_is_one_sentence(datatype: str, content: bytes, count: int, size: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        binary(datatype, content, count, size)
    assert sentence in str(caught.value)


def test_nested_data_is_flattened_by_its_shape() -> None:
    assert tensors.decode(0, item(shape=[2, 2], data=[[1, 2], [3, 4]]), nothing).data == [1, 2, 3, 4]
    assert tensors.decode(0, item(shape=[2, 1, 2], data=[[[1, 2]], [[3, 4]]]), nothing).data == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [[1, 2, 3], [4]]),
        ([2, 2], [[1], [2, 3, 4]]),
        ([2, 2], [[1, 2, 3], [4, 5, 6]]),
        ([1, 2], [[[[1, 2]]]]),
        ([2, 1, 2], [[[1, 2]], [[3], [4]]]),
        ([2, 2], [[], []]),
    ],
)
def test_rows_of_another_length_than_in_the_shape_are_refused(shape: list[int], data: list[Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        tensors.decode(0, item(shape=shape, data=data), nothing)
    assert str(caught.value) == f"the tensor x has rows of another length than in its shape {shape}; send complete rows."


def test_value_among_rows_has_the_wrong_number_of_values() -> None:
    for data in ([[1, 2], 3], [1, [2, 3]], [[1, 2], {}]):
        with pytest.raises(InvalidInput, match=r"has 2 values, but its shape \[2, 2\] requires 4"):
            tensors.decode(0, item(shape=[2, 2], data=data), nothing)


@pytest.mark.parametrize(("count", "times"), [(tensors.ALWAYS_FIT, 0), (tensors.ALWAYS_FIT + 1, 1)])
def test_limit_of_values_is_checked_for_many_values(count: int, times: int) -> None:
    asked: list[tuple[int, ...]] = []
    tensors.decode(0, item(shape=[count], data=[1.0] * count), nothing, asked.append)
    assert asked == [(count,)] * times


def test_binary_fp16_is_decoded() -> None:
    assert binary("FP16", np.array([0.1, math.inf], "<f2").tobytes(), 2).data == array("f", [float(np.float16(0.1)), math.inf])


@given(st.binary(max_size=64))
def test_bf16_is_the_upper_half_of_an_fp32(raw: bytes) -> None:
    content = raw[: len(raw) // 2 * 2]
    halves = np.frombuffer(content, "<u2").astype(np.uint32) << 16
    found = binary("BF16", content, len(halves))
    assert np.array(found.data, np.float32).tobytes() == halves.view(np.float32).tobytes()


NUMBERS = {**NUMPY, "BF16": None}
VALUES = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([value + step for value in (2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63) for step in (-1, 0, 1)])
    | st.sampled_from([65504.0, 65519.9, 65520.0, 3.4028235677973362e38, 3.4028235677973366e38, 3.3961775292304957e38, 3.39e38])
)


@given(st.sampled_from(sorted(NUMBERS)), st.lists(VALUES | st.none(), min_size=1, max_size=12), st.booleans())
def test_json_numbers_must_be_in_range_for_the_datatype(datatype: str, values: list[Any], large: bool) -> None:
    """Compare with NumPy's conversions (IEEE 754), for a list and for the array of a large request."""
    if "INT" in datatype:
        values = [value if value is None else int(value) for value in values]
    data: Any = values
    if large:
        if None in values or ("INT" in datatype and not all(-(2**63) <= value < 2**63 for value in values)):
            return
        data = array("q" if "INT" in datatype else "d", values)
    try:
        tensors.decode(0, item(datatype=datatype, shape=[len(values)], data=data), nothing)
        taken = True
    except InvalidInput as error:
        assert "out of range for" in str(error)  # noqa: PT017
        taken = False
    assert taken == all(value is None or held(datatype, value) for value in values)


def held(datatype: str, value: float) -> bool:
    if "INT" in datatype:
        limits = np.iinfo(NUMPY[datatype])
        return bool(limits.min <= value <= limits.max)
    if datatype == "BF16":  # rounded to even in the last of its seven fraction bits
        return abs(value) < 2.0**128 - 2.0**119
    with np.errstate(over="ignore"):
        return math.isfinite(np.float64(value).astype(NUMPY[datatype]))
