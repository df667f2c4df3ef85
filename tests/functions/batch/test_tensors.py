"""Columns of floats as binary tensors."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.errors import InvalidDataset
from functions.batch.signature import inputs_in, parse
from functions.batch.tensors import encode
from tests.functions.batch.conftest import METADATA, decoded

finite = st.floats(width=32, allow_infinity=False) | st.none()
types = st.sampled_from([pa.float32(), pa.float64()])


@given(st.lists(finite, min_size=1), types, st.data())
def test_floats_are_sent_as_they_are_and_null_as_nan(values: list[float | None], type_: pa.DataType, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    batch = pa.RecordBatch.from_pydict({"carrier": ["UA"] * len(values), "distance": pa.array(values, type_)}).slice(start)
    signature = parse(_metadata())
    body = encode(batch, inputs_in(signature, batch.schema, None, "in.parquet"), None, start)
    tensors = {item["name"]: item for item in decoded(body.content, str(body.json_length) if body.json_length else None)["inputs"]}
    assert tensors["distance"]["data"] == [None if value is None or math.isnan(value) else value for value in values[start:]]


@given(st.lists(finite), st.sampled_from([math.inf, -math.inf]), st.lists(finite), types)
def test_the_first_infinite_value_is_refused_with_its_row(
    before: list[float | None], infinite: float, after: list[float | None], type_: pa.DataType
) -> None:
    values = [*before, infinite, *after, math.inf]
    batch = pa.RecordBatch.from_pydict({"carrier": ["UA"] * len(values), "distance": pa.array(values, type_)})
    inputs = inputs_in(parse(_metadata()), batch.schema, None, "in.parquet")
    with pytest.raises(InvalidDataset, match=f"the column distance has an infinite value in row {100 + len(before)}"):
        encode(batch, inputs, None, np.arange(100, 100 + len(values)))


def _metadata() -> bytes:
    return orjson.dumps({**METADATA, "inputs": METADATA["inputs"][:2]})
