from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.card import Artifact, Card, Input, Output
from functions.runtime.encoding import Encoder
from functions.runtime.errors import InvalidInput

CARD = Card(
    name="fruit",
    inputs=(
        Input(name="kind", datatype="BYTES", categories=("apple", "pear")),
        Input(name="grams", datatype="FP32"),
        Input(name="seeds", datatype="INT32", optional=True),
        Input(name="ripe", datatype="BOOL", optional=True),
    ),
    outputs=(Output(name="price"),),
    artifact=Artifact(uri="model.ubj"),
)
ENCODER = Encoder(CARD, CARD.columns)
GOOD: dict[str, Any] = {"kind": "pear", "grams": 120.5, "seeds": 4, "ripe": True}


def test_a_record_becomes_a_row_in_the_order_of_the_features() -> None:
    assert ENCODER.record(GOOD) == (1.0, 120.5, 4.0, 1.0)
    assert Encoder(CARD, ("ripe", "seeds", "grams", "kind")).record(GOOD) == (1.0, 4.0, 120.5, 1.0)


def test_what_is_optional_may_be_missing_or_null() -> None:
    row = ENCODER.record({"kind": "apple", "grams": 1, "seeds": None})
    assert row[:2] == (0.0, 1.0)
    assert all(math.isnan(value) for value in row[2:])


def test_fields_that_are_no_inputs_are_for_other_readers() -> None:
    assert ENCODER.record(GOOD | {"colour": "green"}) == ENCODER.record(GOOD)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "plum"}, "the input kind is 'plum', which is none of its 2 categories: apple, pear."),
        ({"kind": 3}, "the input kind is 3; it must be a text."),
        ({"grams": "heavy"}, "the input grams is the text 'heavy'; it must be a number."),
        ({"grams": True}, "the input grams is True; it must be a number."),
        ({"grams": None}, "the input grams is missing; send it with every row."),
        ({"grams": 10**400}, "the input grams is too large for a number."),
        ({"seeds": 1.5}, "the input seeds is 1.5; it must be a whole number."),
        ({"ripe": 1}, "the input ripe is 1; it must be true or false."),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_input(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ENCODER.record(GOOD | change)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("record", [None, 3, "text", [1, 2]])
def test_a_row_that_is_no_object_is_refused(record: Any) -> None:
    with pytest.raises(InvalidInput, match="a row is an object"):
        ENCODER.record(record)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_json_is_sent_is_a_row_or_one_sentence(value: Any) -> None:
    for record in (value, GOOD | {"grams": value}, GOOD | {"kind": value}):
        assert "\n" not in said_of(record)


def said_of(record: Any) -> str:
    """What is wrong with a record, or nothing when it is a row of four features."""
    try:
        row = ENCODER.record(record)
    except InvalidInput as error:
        return str(error)
    return "" if len(row) == 4 else "not four\nfeatures"


def test_rows_by_position_need_every_input() -> None:
    rows = ENCODER.rows_by_position([["pear", 1, 2, False], ["apple", 2, None, None]])
    assert rows.count == 2
    assert rows.values.tolist()[:6] == [1, 1, 2, 0, 0, 2]
    with pytest.raises(InvalidInput, match=r"row 1 has 2 values; the model takes 4: kind, grams, seeds, ripe"):
        ENCODER.rows_by_position([["pear", 1, 2, False], ["pear", 1]])


def test_names_are_held_to_the_card() -> None:
    ENCODER.check_names(["grams", "kind"])
    with pytest.raises(InvalidInput, match="no input gram;"):
        ENCODER.check_names(["kind", "gram"])
    with pytest.raises(InvalidInput, match="the input kind is missing"):
        ENCODER.check_names(["grams"])


def test_a_transform_makes_the_features_and_its_complaints_are_the_callers() -> None:
    def transform(record: Any) -> dict[str, float]:
        if record["grams"] < 0:
            raise ValueError("the input grams is negative; weigh again.")
        return {"kilograms": record["grams"] / 1000, "unused": 0.0}

    encoder = Encoder(CARD, ("kilograms",), transform)
    assert encoder.record(GOOD) == (0.1205,)
    with pytest.raises(InvalidInput, match="grams is negative"):
        encoder.record(GOOD | {"grams": -1})
