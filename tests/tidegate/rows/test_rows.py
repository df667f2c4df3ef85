from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidegate import rows


def data(path: Path) -> list[dict[str, Any]]:
    return [row.data for row in rows.read(path)]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_json_lines_keep_their_values(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": 1, "b": null}\n\n{"a": "x", "c": [1]}\n')
    assert data(path) == [{"a": 1, "b": None}, {"a": "x", "c": [1]}]


def test_csv_cell_is_a_number_only_if_nothing_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "zip,big,when,size,open,gone\n00123,12345678901234567890123,2024-01-02 03:04:05,7.5,true,\n")
    expected = {"zip": "00123", "big": "12345678901234567890123", "when": "2024-01-02 03:04:05", "size": 7.5, "open": True}
    assert data(path) == [expected]


def test_parquet_values_become_json_values(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"n": [Decimal("1.50"), Decimal(7)], "d": [dt.date(2024, 1, 2), None], "t": ["x", "y"]})
    pq.write_table(table, path)
    assert data(path) == [{"n": 1.5, "d": "2024-01-02", "t": "x"}, {"n": 7, "t": "y"}]
    assert rows.count(path) == 2


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "", "unsupported file .*: must be one of .jsonl"),
        ("a.jsonl", '{"a": 1}\n{', "line 2 of .* is not JSON"),
        ("a.jsonl", "[1]\n", "line 1 of .* is not a JSON object"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3 of .* has 1 cells, but the header 2"),
        ("a.parquet", "PAR1 no", "is not a Parquet file"),
    ],
)
def test_unreadable_file_is_one_sentence_with_the_place(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(rows.UnreadableFile, match=sentence) as caught:
        list(rows.read(write(tmp_path, name, text)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [b"bytes", dt.timedelta(seconds=3), {"nested": [b"bytes"]}])
def test_column_without_a_json_value_is_named(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"odd": [value]}), path)
    with pytest.raises(
        rows.UnreadableFile, match=r"row 1 of .*: the column odd has (bytes|timedelta), which JSON has no value for; convert the column"
    ):
        list(rows.read(path))
