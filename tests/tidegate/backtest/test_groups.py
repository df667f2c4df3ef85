from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from tidegate.backtest.bootstrap import MAX_BLOCKS
from tidegate.backtest.errors import InvalidGroups
from tidegate.backtest.groups import MAX_SLICES, SliceColumn, check_column, cluster_codes


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["UA", "DL", None, "UA"]), ["UA", "DL", "(none)", "UA"]),
        (pa.array([1.0, 2.5, None, 1.0]), ["1", "2.5", "(none)", "1"]),
        (pa.array([True, False, None, True]), ["true", "false", "(none)", "true"]),
        (pa.array([dt.date(2013, 12, day) if day else None for day in (1, 2, 0, 1)]), ["2013-12-01", "2013-12-02", "(none)", "2013-12-01"]),
        (pa.array(["UA", "DL", None, "UA"]).dictionary_encode().slice(1), ["DL", "(none)", "UA"]),
    ],
    ids=["strings", "floats", "booleans", "dates", "sliced-dictionary"],
)
def test_values_are_numbered(column: pa.Array, values: list[str]) -> None:
    slices = SliceColumn("carrier")
    names = {code: value for value, code in slices.values.items()}
    codes = slices.codes(column)
    names = {code: value for value, code in slices.values.items()}
    assert [names[code] for code in codes] == values


def test_value_has_one_number_in_all_pieces() -> None:
    slices = SliceColumn("carrier")
    assert slices.codes(pa.array(["a", "b"])).tolist() == [0, 1]
    assert slices.codes(pa.array(["c", "b"])).tolist() == [2, 1]


def test_value_of_a_dictionary_that_no_row_has_is_no_slice() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int8()), pa.array(["unused", "used"]))
    slices = SliceColumn("carrier")
    slices.codes(column)
    assert list(slices.values) == ["used"]


def test_too_many_slices_are_one_sentence() -> None:
    with pytest.raises(InvalidGroups, match=rf"the column id has more than {MAX_SLICES} different values, too many for slices; name a"):
        SliceColumn("id").codes(pa.array([str(number) for number in range(MAX_SLICES + 1)]))


def test_cluster_keeps_its_block_in_all_pieces() -> None:
    first = cluster_codes(pa.array(["2013-12-01", "2013-12-02", "2013-12-01"]), "day")
    second = cluster_codes(pa.array(["2013-12-02", "2013-12-01", None]), "day")
    assert first[0] == first[2] == second[1]
    assert first[1] == second[0]
    assert len({*first, *second}) == 3
    assert max(*first, *second) < MAX_BLOCKS


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nowhere", "x.parquet has no column nowhere, which --slice names"), ("tags", "tags of x.parquet is list<.*, which cannot divide")],
    ids=["missing", "list"],
)
def test_unusable_column_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InvalidGroups, match=sentence):
        check_column("--slice", name, pa.schema([("tags", pa.list_(pa.string()))]), "x.parquet")
