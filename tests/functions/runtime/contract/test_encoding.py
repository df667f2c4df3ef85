from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.checks import are_ordinary
from functions.runtime.contract.encoding import Encoder, Rows
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
    assert ENCODER.record(GOOD).tolist() == [1.0, 120.5, 4.0, 1.0]
    assert Encoder(CARD, ("ripe", "seeds", "grams", "kind")).record(GOOD).tolist() == [1.0, 4.0, 120.5, 1.0]


def test_an_optional_input_may_be_missing_or_null() -> None:
    row = ENCODER.record({"kind": "apple", "grams": 1, "seeds": None})
    assert row[:2].tolist() == [0.0, 1.0]
    assert all(math.isnan(value) for value in row[2:])


def test_fields_of_a_record_that_are_not_inputs_are_ignored() -> None:
    assert ENCODER.record(GOOD | {"colour": "green"}) == ENCODER.record(GOOD)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "plum"}, "the input kind is 'plum', which is not one of its 2 categories: apple, pear."),
        ({"kind": 3}, "the input kind is 3; it must be a string."),
        ({"grams": "heavy"}, "the input grams is the string 'heavy'; it must be a number."),
        ({"grams": True}, "the input grams is true, which is not a number; send 1 or 0."),
        ({"grams": None}, "the input grams is missing; send it with every row."),
        ({"grams": 10**400}, "the input grams is too large for a number."),
        ({"grams": 1e39}, "the input grams is too large for the model; send a finite number."),
        ({"seeds": 1.5}, "the input seeds is 1.5; it must be an integer."),
        ({"seeds": 2**31}, "the input seeds is 2147483648; it must be -2147483648 to 2147483647."),
        ({"ripe": 1}, "the input ripe is 1; it must be true or false."),
    ],
)
def test_an_invalid_value_is_one_sentence_that_names_the_input(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ENCODER.record(GOOD | change)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("record", [None, 3, "text", [1, 2]])
def test_a_row_that_is_not_an_object_is_refused(record: Any) -> None:
    with pytest.raises(InvalidInput, match="a row must be an object"):
        ENCODER.record(record)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_row_or_one_sentence(value: Any) -> None:
    for record in (value, GOOD | {"grams": value}, GOOD | {"kind": value}):
        assert "\n" not in sentence_of(record)


def sentence_of(record: Any) -> str:
    """The error of a record, or nothing when it is a row of four features."""
    try:
        row = ENCODER.record(record)
    except InvalidInput as error:
        return str(error)
    return "" if len(row) == 4 else "not four\nfeatures"


def test_rows_as_lists_need_every_input() -> None:
    rows = ENCODER.lists([["pear", 1, 2, False], ["apple", 2, None, None]])
    assert rows.count == 2
    assert rows.values.tolist()[:6] == [1, 1, 2, 0, 0, 2]
    with pytest.raises(InvalidInput, match=r"row 1 has 2 values; the model takes 4: kind, grams, seeds, ripe"):
        ENCODER.lists([["pear", 1, 2, False], ["pear", 1]])


def test_names_must_be_those_of_the_card() -> None:
    ENCODER.check_names(["grams", "kind"])
    with pytest.raises(InvalidInput, match="no input gram;"):
        ENCODER.check_names(["kind", "gram"])
    with pytest.raises(InvalidInput, match="the input kind is missing"):
        ENCODER.check_names(["grams"])


def test_a_transform_makes_the_features_and_may_refuse_a_row() -> None:
    def transform(record: Any) -> dict[str, float]:
        if record["grams"] < 0:
            raise ValueError("the input grams is negative; weigh again.")
        return {"kilograms": record["grams"] / 1000, "unused": 0.0}

    encoder = Encoder(CARD, ("kilograms",), transform)
    assert encoder.record(GOOD).tolist() == pytest.approx([0.1205])
    with pytest.raises(InvalidInput, match="grams is negative"):
        encoder.record(GOOD | {"grams": -1})


def test_numbers_are_within_their_bounds() -> None:
    card = replace(
        CARD,
        inputs=(Input("grams", "FP32", minimum=0, maximum=500.5), Input("seeds", "UINT8", maximum=9), Input("sour", "FP32", minimum=1)),
    )
    encoder = Encoder(card, card.columns)
    assert encoder.record({"grams": 500.5, "seeds": 9, "sour": 1}).tolist() == [500.5, 9, 1]
    for change, sentence in (
        ({"grams": -0.5}, "grams is -0.5; it must be 0 to 500.5."),
        ({"seeds": 10}, "seeds is 10; it must be 0 to 9."),
        ({"sour": 0}, "sour is 0; it must be at least 1."),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            encoder.record({"grams": 1, "seeds": 1, "sour": 1} | change)
        columns = {name: [value] * 20 for name, value in ({"grams": 1, "seeds": 1, "sour": 1} | change).items()}
        with pytest.raises(InvalidInput, match=f"row 0: the input {sentence}"):
            encoder.columns(columns, 20)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(["apple", "pear"]),
    "grams": st.floats(allow_nan=False, width=32) | st.integers(-(2**24), 2**24) | st.just(1e39),
    "seeds": st.integers(-(2**31), 2**31) | st.none() | st.just(2.0),
    "ripe": st.booleans() | st.none(),
}
ODD = st.none() | st.booleans() | st.text(max_size=3) | st.floats() | st.just(10**400) | st.just([1])


@given(st.lists(st.fixed_dictionaries(VALUES), min_size=8, max_size=20), st.sampled_from(list(VALUES)), st.booleans(), ODD)
def test_whole_columns_are_equal_to_single_rows(rows: list[dict[str, Any]], name: str, break_one: bool, odd: Any) -> None:
    if break_one:
        rows[3] = rows[3] | {name: odd}
    expected = outcome(lambda: ENCODER.records(rows))
    assert outcome(lambda: ENCODER.columns({item: [row[item] for row in rows] for item in VALUES}, len(rows))) == expected
    assert outcome(lambda: ENCODER.matrix([row[item] for row in rows for item in VALUES], len(rows))) == expected
    assert outcome(lambda: ENCODER.objects(rows)) == expected
    assert outcome(lambda: ENCODER.lists([[row[item] for item in VALUES] for row in rows])) == expected


TYPED = replace(
    CARD,
    inputs=(
        Input("store", "INT64", categories=(0, 1, 102, 2**53 + 1)),
        Input("level", "FP64", optional=True, categories=(0.5, 1.0, 2.0, 1e-7)),
        Input("open", "BOOL", optional=True, categories=(True, False)),
        Input("zone", "UINT8", optional=True, categories=(7, 1)),
    ),
)
TYPED_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "store": st.sampled_from([0, 1, 102, 2**53 + 1, 102.0, 1.0, -0.0, "102", "0", "9007199254740993"]),
    "level": st.sampled_from([0.5, 1, 2.0, 1e-7, "2.0", "1e-7", "1e-07", None]),
    "open": st.sampled_from([True, False, "true", "True", "False", None]),
    "zone": st.sampled_from([7, 1, 7.0, "1", None]),
}
ODD_CATEGORIES = ODD | st.sampled_from([103, 0.25, "102.0", "1.0", " 1", "01", "TRUE", "1e0", 2.0**53, math.nan, math.inf, 1, 0, {}])


@given(
    st.lists(st.fixed_dictionaries(TYPED_VALUES), min_size=8, max_size=20),
    st.sampled_from(list(TYPED_VALUES)),
    st.booleans(),
    ODD_CATEGORIES,
    st.booleans(),
)
def test_columns_of_typed_categories_are_equal_to_single_rows(
    rows: list[dict[str, Any]], name: str, break_one: bool, odd: Any, nulls: bool
) -> None:
    encoder = Encoder(TYPED, TYPED.columns, nulls=nulls)
    if break_one:
        rows[3] = rows[3] | {name: odd}
    expected = outcome(lambda: encoder.records(rows))
    assert outcome(lambda: encoder.columns({item: [row[item] for row in rows] for item in TYPED_VALUES}, len(rows))) == expected
    assert outcome(lambda: encoder.matrix([row[item] for row in rows for item in TYPED_VALUES], len(rows))) == expected
    assert outcome(lambda: encoder.objects(rows)) == expected
    assert outcome(lambda: encoder.lists([[row[item] for item in TYPED_VALUES] for row in rows])) == expected


@given(
    st.sampled_from(["f", "d", "q", "b", "B"]),
    st.lists(st.sampled_from([0, 1, 7, 102, 0.5, 2, 0.1, math.nan]), min_size=8, max_size=20),
    st.sampled_from([item.name for item in TYPED.inputs]),
)
def test_arrays_of_categories_are_equal_to_single_values(typecode: str, values: list[float], name: str) -> None:
    """Arrays are the columns of binary tensors and of large requests."""
    column = array(typecode, [value if typecode in "fd" else int(value) if value == value else 0 for value in values])
    card = replace(TYPED, inputs=tuple(item for item in TYPED.inputs if item.name == name))
    encoder = Encoder(card, card.columns)
    expected = outcome(lambda: encoder.records([{name: value} for value in column]))
    assert outcome(lambda: encoder.columns({name: column}, len(column))) == expected
    assert outcome(lambda: encoder.matrix(column, len(column))) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"store": 102}, 2),
        ({"store": 102.0}, 2),
        ({"store": "102"}, 2),
        ({"store": 2**53 + 1}, 3),
        ({"level": 2}, 2),
        ({"level": "2.0"}, 2),
        ({"level": "1e-07"}, 3),
        ({"open": True}, 0),
        ({"open": "False"}, 1),
        ({"open": "true"}, 0),
        ({"store": 103}, "the input store is 103, which is not one of its 4 categories: 0, 1, 102, 9007199254740993."),
        ({"store": 2.0**53}, "the input store is 9007199254740992.0, which is not one of its 4 categories"),
        ({"store": "102.0"}, "the input store is '102.0', which is not one of its 4 categories"),
        ({"store": True}, "the input store is true; it must be one of its 4 categories: 0, 1, 102, 9007199254740993."),
        ({"open": 1}, "the input open is 1; it must be one of its 2 categories: true, false."),
        ({"open": "yes"}, "the input open is 'yes', which is not one of its 2 categories: true, false."),
        ({"level": [1]}, "the input level is a list; it must be one of its 4 categories: 0.5, 1.0, 2.0, 1e-7."),
    ],
)
def test_a_category_is_sent_as_its_value_or_its_string(value: dict[str, Any], code: Any) -> None:
    ((name, _),) = value.items()
    encoder = Encoder(TYPED, TYPED.columns)
    if isinstance(code, str):
        with pytest.raises(InvalidInput) as caught:
            encoder.record({"store": 1} | value)
        assert str(caught.value).startswith(code)
    else:
        assert encoder.record({"store": 1} | value)[TYPED.columns.index(name)] == code


def test_a_transform_gets_the_category_in_any_spelling() -> None:
    seen: list[Any] = []

    def transform(record: Any) -> dict[str, float]:
        seen.append(record)
        return {"x": 1.0}

    Encoder(TYPED, ("x",), transform).record({"store": "102", "level": 1, "open": "True", "zone": 7.0})
    assert repr(seen) == "[{'store': 102, 'level': 1.0, 'open': True, 'zone': 7}]"


NUMBERS = replace(CARD, inputs=(Input("a", "FP32"), Input("b", "FP64", optional=True)))


@given(
    st.lists(st.tuples(VALUES["grams"], VALUES["grams"] | st.none()), min_size=1, max_size=20),
    st.booleans(),
    ODD,
    st.sampled_from([0, 1]),
    st.sampled_from("fd"),
)
def test_a_matrix_of_numbers_is_equal_to_single_rows(rows: list[Any], break_one: bool, odd: Any, column: int, typecode: str) -> None:
    if break_one:
        rows[0] = (odd, rows[0][1]) if column == 0 else (rows[0][0], odd)
    encoder = Encoder(NUMBERS, NUMBERS.columns, typecode=typecode)
    expected = outcome(lambda: encoder.records([{"a": a, "b": b} for a, b in rows]))
    assert outcome(lambda: encoder.matrix([value for row in rows for value in row], len(rows))) == expected


def test_nan_in_a_binary_column_must_be_of_an_optional_input() -> None:
    encoder = Encoder(NUMBERS, NUMBERS.columns)
    good, gap = array("f", [1.0] * 9), array("f", [1.0] * 8 + [math.nan])
    assert encoder.columns({"a": good, "b": gap}, 9).count == 9
    assert math.isnan(encoder.matrix(array("f", [1.0, math.nan]), 1).values[1])
    with pytest.raises(InvalidInput, match="the input a is missing"):
        encoder.columns({"a": gap, "b": good}, 9)
    with pytest.raises(InvalidInput, match="the input a is missing"):
        encoder.matrix(array("d", [math.nan, 1.0]), 1)


@given(
    st.lists(st.tuples(st.floats() | VALUES["grams"].map(float), st.floats() | VALUES["grams"].map(float)), min_size=1, max_size=20),
    st.sampled_from("fd"),
)
def test_doubles_are_used_in_place_or_converted_like_others(rows: list[tuple[float, float]], typecode: str) -> None:
    sent = array("d", [value for row in rows for value in row])
    takes_doubles, other = (Encoder(NUMBERS, NUMBERS.columns, typecode=typecode, doubles=doubles) for doubles in (True, False))
    expected = outcome(lambda: other.matrix(sent, len(rows)))
    assert outcome(lambda: in_precision(typecode, takes_doubles.matrix(sent, len(rows)))) == expected
    if are_ordinary(sent, typecode):
        assert takes_doubles.matrix(sent, len(rows)).values is sent


def in_precision(typecode: str, rows: Rows) -> Rows:
    return Rows(array(typecode, rows.values), rows.count)


def outcome(encode: Callable[[], Rows]) -> tuple[str, bytes]:
    """The error, or the bytes of the rows: equal to the bit, NaN too."""
    try:
        return "", encode().values.tobytes()
    except InvalidInput as error:
        return str(error), b""


@pytest.mark.parametrize(("datatype", "most"), [("INT64", 2**63 - 1), ("UINT64", 2**64 - 1), ("INT8", 127)])
@pytest.mark.parametrize("count", [1, 16])
def test_the_largest_integer_is_accepted_and_the_next_is_not(datatype: str, most: int, count: int) -> None:
    card = Card("whole", (Input("a", datatype),), (Output("score"),), Artifact("model.ubj"))
    encoder = Encoder(card, ["a"])
    assert encoder.columns({"a": [most] * count}, count).count == count
    with pytest.raises(InvalidInput, match=rf"the input a is {most + 1}; it must be .* to {most}"):
        encoder.columns({"a": [most] * (count - 1) + [most + 1]}, count)
