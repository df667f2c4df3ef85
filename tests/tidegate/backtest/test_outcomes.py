from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from tidegate.backtest import outcomes
from tidegate.backtest.errors import InvalidOutcomes


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False, None]),
        pa.array([1, 0, None], pa.int8()),
        pa.array([1.0, 0.0, float("nan")]),
        pa.array([1.0, 0.0, None], pa.float32()),
        pa.array([Decimal(1), Decimal(0), None], pa.decimal128(3, 1)),
        pa.array([1, 0, None]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type).replace(" ", ""),
)
def test_columns_of_yes_and_no_are_read(column: pa.Array) -> None:
    outcomes.check_type("late", pa.schema([("late", column.type)]), "x.parquet")
    true, known = outcomes.read(column, "late", "x.parquet", 0)
    assert known.tolist() == [True, True, False]
    assert true[known].tolist() == [True, False]


def test_other_number_is_named_with_its_row() -> None:
    with pytest.raises(InvalidOutcomes, match=r"the label late is 2 in row 101 of x\.parquet, .*; write true and false, or 1 and 0\.$"):
        outcomes.read(pa.array([1, 2]), "late", "x.parquet", 100)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (pa.schema([("late", pa.string())]), "the label late is a column of the type string; write true and false, or 1 and 0."),
        (pa.schema([("a", pa.bool_()), ("b", pa.bool_())]), "x.parquet has no column late; name one of its columns with --label: a, b."),
    ],
    ids=["strings", "missing"],
)
def test_unusable_column_is_one_sentence(schema: pa.Schema, sentence: str) -> None:
    with pytest.raises(InvalidOutcomes) as caught:
        outcomes.check_type("late", schema, "x.parquet")
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "x.parquet has no rows; name a file with rows."),
        ([True, True], "the label late is true in all 2 rows of x.parquet, so nothing can be separated;"),
        ([False, False], "the label late is false in all 2 rows of x.parquet"),
        ([True, False, None, None], "the label late is null in 2 of 4 rows, first in row 2 of x.parquet; leave such rows out with --drop"),
    ],
    ids=["empty", "all-true", "all-false", "nulls"],
)
def test_outcomes_that_cannot_be_compared_are_one_sentence(values: list[bool | None], sentence: str) -> None:
    with pytest.raises(InvalidOutcomes) as caught:
        counted(values).check("late", "x.parquet", drop_unknown=False)
    assert sentence in str(caught.value)


def test_unknown_outcomes_are_left_out_on_request() -> None:
    counted([True, False, None]).check("late", "x.parquet", drop_unknown=True)
    with pytest.raises(InvalidOutcomes, match="null in all 2 rows"):
        counted([None, None]).check("late", "x.parquet", drop_unknown=True)
    with pytest.raises(InvalidOutcomes, match="true in all 1 rows"):
        counted([True, None]).check("late", "x.parquet", drop_unknown=True)


def counted(values: list[bool | None]) -> outcomes.Count:
    count = outcomes.Count()
    count.add(*outcomes.read(pa.array(values, pa.bool_()), "late", "x.parquet", 0), "x.parquet", 0)
    return count
