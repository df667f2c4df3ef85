from __future__ import annotations

import json
import struct
from array import array
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.runtimes.structure import ubjson
from functions.runtime.runtimes.structure.fault import Fault

_SCALARS: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
_DOCUMENTS = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def encode(value: Any) -> bytes:
    """Write a document as XGBoost's UBJWriter does."""
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if isinstance(value, str):
        return b"S" + text(value)
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(encode, value))
    return b"{" + b"".join(text(key) + encode(item) for key, item in value.items()) + b"}"


def text(value: str) -> bytes:
    content = value.encode()
    return b"L" + struct.pack(">q", len(content)) + content


@given(_DOCUMENTS)
def test_a_written_document_is_read(document: Any) -> None:
    assert ubjson.parse(encode(document)) == document


@given(_DOCUMENTS, st.data())
def test_a_part_of_a_document_is_a_fault(document: Any, data: st.DataObject) -> None:
    whole = encode(document)
    with pytest.raises(Fault):
        ubjson.parse(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary())
def test_any_bytes_are_a_document_or_a_fault(content: bytes) -> None:
    with suppress(Fault):
        ubjson.parse(content)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"[$l#L" + struct.pack(">q3i", 3, 1, -2, 2**31 - 1), array("i", [1, -2, 2**31 - 1])),
        (b"[$L#L" + struct.pack(">qq", 1, -(2**63)), array("q", [-(2**63)])),
        (b"[$d#L" + struct.pack(">qf", 1, 0.5), array("f", [0.5])),
        (b"[$U#L" + struct.pack(">q", 2) + b"\x00\xff", array("B", [0, 255])),
        (b"[$I#L" + struct.pack(">qh", 1, -3), array("h", [-3])),
        (b"[$l#L" + struct.pack(">q", 0), array("i")),
    ],
)
def test_a_typed_array_has_the_byte_order_of_the_machine(content: bytes, values: array[Any]) -> None:
    found = ubjson.parse(content)
    assert found == values
    assert found.typecode == values.typecode


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[$l#L" + struct.pack(">q", 2**40), "1099511627776 values are announced"),
        (b"[$l#L" + struct.pack(">q", -1), "-1 values are announced"),
        (b"[#L" + struct.pack(">q", 2**62), "values are announced"),
        (b"SL" + struct.pack(">q", 9) + b"short", "9 values are announced"),
        (b"{" + text("a") + b"Z" + text("a") + b"Z}", "an object has 'a' twice"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b"[$S#L" + bytes(8), "array of an unknown type"),
        (b"Hi", "unknown type"),
        (b"TT", "1 bytes follow the end"),
        (b"{i\x01aZ}", "'L' is missing"),
    ],
)
def test_an_invalid_size_or_type_is_a_fault(content: bytes, reason: str) -> None:
    with pytest.raises(Fault, match=reason):
        ubjson.parse(content)


def test_a_model_is_equal_to_that_in_json() -> None:
    features = np.random.default_rng(0).random((100, 3), dtype=np.float32)
    booster = xgb.train({"max_depth": 3}, xgb.DMatrix(features, features[:, 0]), 3)
    plain = json.loads(json.dumps(ubjson.parse(bytes(booster.save_raw("ubj"))), default=list))
    document = json.loads(bytes(booster.save_raw("json")))
    assert json.dumps(plain, sort_keys=True) == json.dumps(_rounded(document), sort_keys=True)


def _rounded(value: Any) -> Any:
    """The document with its numbers rounded to float32."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(np.float32(value)) if isinstance(value, float) else value
