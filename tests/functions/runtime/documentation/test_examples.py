from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.runtime.contract.card import Artifact, Card, Input
from functions.runtime.contract.checks import checker, range_of
from functions.runtime.documentation import examples
from functions.runtime.documentation.model_spec import ModelSpec

Describe = Callable[..., ModelSpec]


def test_example_of_the_card_is_shown_in_every_format(describe: Describe) -> None:
    model = describe()
    row = {"age": 40, "sector": "public", "member": True}
    assert examples.event(model.card)["data"] == row
    v1 = examples.v1(model.card)
    assert v1["objects"]["value"] == {"instances": [row]}
    assert v1["lists"]["value"] == {"instances": [[40, None, "public", True]]}
    v2 = examples.v2(model)
    assert v2["columns"]["value"] == {
        "inputs": [
            {"name": "age", "shape": [1], "datatype": "UINT8", "data": [40]},
            {"name": "sector", "shape": [1], "datatype": "BYTES", "data": ["public"]},
            {"name": "member", "shape": [1], "datatype": "BOOL", "data": [True]},
        ]
    }
    assert [item["name"] for item in v2["outputs"]["value"]["outputs"]] == ["default", "decision", "margin", "contributions"]


def test_matrix_is_shown_if_all_inputs_are_numbers(describe: Describe) -> None:
    assert "matrix" not in examples.v2(describe())
    inputs = (Input("a", "FP32"), Input("b", "INT8", optional=True))
    (tensor,) = examples.v2(describe(inputs=inputs, example={"a": 1.5}))["matrix"]["value"]["inputs"]
    assert tensor == {"name": "rows", "shape": [1, 2], "datatype": "FP64", "data": [1.5, None]}
    (tensor,) = examples.v2(describe(inputs=inputs[:1], example={"a": 1.5}))["matrix"]["value"]["inputs"]
    assert tensor["datatype"] == "FP32"


_DATATYPES = ("BOOL", "BYTES", "FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_BOUNDS = st.none() | st.integers(-300, 300).map(float) | st.floats(-300, 300)


@given(st.sampled_from(_DATATYPES), _BOUNDS, _BOUNDS, st.none() | st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_generated_example_of_any_input_is_accepted(
    datatype: str, minimum: float | None, maximum: float | None, categories: list[str] | None
) -> None:
    numeric = datatype not in ("BOOL", "BYTES")
    item = Input(
        "x",
        datatype,
        categories=tuple(categories) if categories and datatype == "BYTES" else None,
        minimum=minimum if numeric else None,
        maximum=maximum if numeric else None,
    )
    least, most = range_of(item)
    assume(math.ceil(least) <= math.floor(most) if "INT" in datatype else least <= most)
    checker(item)(examples.record(Card(name="m", artifact=Artifact("m.ubj"), inputs=(item,), outputs=()))["x"])


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (Input("x", "FP32"), 0),
        (Input("x", "FP64", minimum=2.5), 2.5),
        (Input("x", "FP64", maximum=-2.5), -2.5),
        (Input("x", "INT8", minimum=2.5), 3),
        (Input("x", "INT32", minimum=18), 18),
        (Input("x", "INT32", maximum=-0.5), -1),
        (Input("x", "UINT64", minimum=2**63), 2**63),
        (Input("x", "BOOL"), False),
        (Input("x", "BYTES"), "text"),
        (Input("x", "BYTES", categories=("red", "blue")), "red"),
    ],
)
def test_card_without_an_example_has_a_generated_one(item: Input, value: object, describe: Describe) -> None:
    assert examples.record(describe(inputs=(item,), example=None).card) == {"x": value}
