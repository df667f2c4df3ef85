from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import TidegateError
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.datatypes import DATATYPES
from functions.runtime.contract.encoding import Encoder
from functions.runtime.fastapi.types import request_type

BOUNDS = st.none() | st.integers(-200, 200).map(float)
ITEMS = st.builds(
    Input,
    st.just("x"),
    st.sampled_from([datatype for datatype in DATATYPES if datatype not in ("BYTES", "FP64")]),
    optional=st.booleans(),
    minimum=BOUNDS,
    maximum=BOUNDS,
) | st.builds(Input, st.just("x"), st.just("BYTES"), optional=st.booleans(), categories=st.just(("a", "b")))
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from(["a", "b", "", "1"])
    | st.floats(width=32)
)


def card_of(*inputs: Input) -> Card:
    return Card("shop", inputs, (Output("y"),), Artifact("m.ubj"))


@given(item=ITEMS, value=VALUES.filter(lambda value: value == value), present=st.booleans(), nulls=st.booleans())
def test_row_is_valid_if_the_function_accepts_it(item: Input, value: Any, present: bool, nulls: bool) -> None:
    row = {"there": 1.5, **({"x": value} if present else {})}
    card = card_of(item, Input("there", "FP32"))
    try:
        Encoder(card, ["x", "there"], nulls=nulls).objects([row])
        taken = True
    except TidegateError as error:
        taken = "too large for the model" in str(error)  # a limit of the artifact, not of the card
    try:
        request_type(card, nulls=nulls).model_validate(row)
        valid = True
    except ValidationError:
        valid = False
    assert valid == taken


def test_unknown_field_and_invalid_value_are_refused() -> None:
    shop = request_type(card_of(Input("size", "INT32", minimum=1)))
    with pytest.raises(ValidationError, match="sise"):
        shop.model_validate({"size": 1, "sise": 2})
    with pytest.raises(ValidationError, match="the input size is 0; it must be 1"):
        shop.model_validate({"size": 0})


def test_names_that_are_not_identifiers_are_aliases() -> None:
    inputs = [Input(name, "FP32") for name in ("sepal length (cm)", "class", "1st", "model_dump", "a b", "a_b")]
    made = request_type(card_of(*inputs))
    row = {item.name: 1.5 for item in inputs}
    assert made.model_validate(row).model_dump(by_alias=True) == row
    assert list(made.model_fields) == ["sepal_length_cm", "class_", "field_1st", "model_dump_", "a_b_", "a_b"]
    assert made(**dict.fromkeys(made.model_fields, 2.0)).model_dump(by_alias=True) == dict.fromkeys(row, 2.0)
