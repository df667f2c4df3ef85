from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from common.errors import TidegateError
from functions.runtime.contract.card import Input
from functions.runtime.contract.datatypes import DATATYPES
from functions.runtime.contract.encoding import Encoder
from functions.runtime.documentation import records
from functions.runtime.documentation.model_spec import ModelSpec

Describe = Callable[..., ModelSpec]
BOUNDS = st.none() | st.integers(-200, 200).map(float)
ITEMS = st.builds(
    Input,
    st.just("x"),
    st.sampled_from([datatype for datatype in DATATYPES if datatype != "BYTES"]),
    optional=st.booleans(),
    minimum=BOUNDS,
    maximum=BOUNDS,
) | st.one_of(
    [
        st.builds(Input, st.just("x"), st.just(datatype), optional=st.booleans(), categories=st.just(categories))
        for datatype, categories in (
            ("BYTES", ("a", "b")),
            ("INT64", (1, -3, 300)),
            ("FP32", (0.5, 2.0)),
            ("BOOL", (True, False)),
            ("UINT8", (0, 7)),
        )
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["a", "b", "", "1", "true", "False", "0.5", "2.0", "300", 300, 0.5, 7.0])
)


@given(item=ITEMS, value=VALUES, present=st.booleans())
def test_schema_of_a_row_allows_what_the_function_accepts(item: Input, value: Any, present: bool, describe: Describe) -> None:
    if item.datatype == "FP64" and isinstance(value, (int, float)):
        value = max(min(value, 1e38), -1e38)  # the range of doubles depends on the artifact, not on the card
    model = describe(inputs=(item,), example=None)
    row = {"x": value, "other": 1} if present else {"other": 1}
    assert _valid(records.record(model), row) == _taken(Encoder(model.card, ["x"]), row)


@given(item=ITEMS, value=VALUES, present=st.booleans(), other=st.none() | st.integers(0, 1), strict=st.booleans())
def test_artifact_without_a_card_accepts_null_but_not_an_empty_row(
    item: Input, value: Any, present: bool, other: Any, strict: bool, describe: Describe
) -> None:
    if item.datatype == "FP64" and isinstance(value, (int, float)):
        value = max(min(value, 1e38), -1e38)
    item = replace(item, minimum=None, maximum=None)  # bounds stand in cards alone
    model = describe(inputs=(item, Input("y", "FP32")), example=None, nulls=True)
    row = {**({"x": value} if present else {}), **({} if other is None else {"y": other}), **({} if strict else {"z": 1})}
    encoder = Encoder(model.card, ["x", "y"], nulls=True)
    assert _valid(records.record(model, strict=strict), row) == _taken(encoder, row)


def test_output_may_be_null_for_nan_and_infinity(describe: Describe) -> None:
    schema = records.prediction(describe().outputs.all)
    row = {"default": 0.25, "decision": "no", "margin": -1.1, "contributions": [0.5, 0, 0, 0, -1.6]}
    for nothing in ({"default": None}, {"margin": None}, {"contributions": [None, 0, 0, 0, 1]}):
        assert _valid(schema, {**row, **nothing}), nothing
    assert not _valid(schema, {**row, "decision": None})


def test_strict_and_positional_rows_have_only_the_inputs(describe: Describe) -> None:
    model = describe()
    row = {"age": 40, "income (EUR)": None, "sector": "public", "member": True}
    strict, positional = records.record(model, strict=True), records.positional(model)
    assert _valid(strict, row)
    assert not _valid(strict, {**row, "sectr": 1})
    assert _valid(positional, [*row.values()])
    assert not _valid(positional, [*row.values(), 1])
    assert not _valid(positional, [*row.values()][:-1])
    assert not _valid(positional, [*row.values()][::-1])


def test_prediction_has_the_outputs_in_their_shape(describe: Describe) -> None:
    schema = records.prediction(describe().outputs.all)
    row = {"default": 0.25, "decision": "no", "margin": -1.1, "contributions": [0.5, 0, 0, 0, -1.6]}
    assert _valid(schema, row)
    for wrong in ({"default": 1.5}, {"decision": "maybe"}, {"margin": "low"}, {"contributions": [0.5]}, {"contributions": 0.5}):
        assert not _valid(schema, {**row, **wrong}), wrong


def _valid(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def _taken(encoder: Encoder, row: Any) -> bool:
    try:
        return not any(math.isinf(value) for value in encoder.record(row))
    except TidegateError:
        return False
