"""What is a row, and which rows are rejected, whatever the blocks in which a file is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.batch.storage import text
from functions.batch.storage.delimited import CsvReader
from functions.batch.storage.json_lines import JsonLinesReader
from functions.batch.storage.pieces import Piece, Reject

STRINGS = {"a": pa.string(), "b": pa.string()}
Result = tuple[list[dict[str, object]], list[tuple[int, str, str]], int]


@pytest.fixture(params=[7, 64, 2**20])
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(text, "BLOCK_BYTES", request.param)
    return int(request.param)


def result(pieces: Iterator[Piece]) -> Result:
    rows, rejects, first = [], [], 0
    for piece in pieces:
        assert piece.first_row == first
        assert piece.rows == piece.batch.num_rows + len(piece.rejects)
        first += piece.rows
        rows += piece.batch.to_pylist()
        rejects += [(reject.row, reject.position, reject.reason) for reject in piece.rejects]
    return rows, rejects, first


def read_csv(content: bytes) -> Result:
    return result(CsvReader(io.BytesIO(b"a,b\n" + content), "a.csv", schema=None, types=STRINGS).pieces(["a", "b"]))


def read_json(content: bytes) -> Result:
    types = {"a": pa.int64()}
    return result(JsonLinesReader(io.BytesIO(content), "a.jsonl", schema=pa.schema(types), types=types).pieces(["a"]))


def in_blocks(size: int, read: str, content: bytes) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", size)
        return {"csv": read_csv, "json": read_json}[read](content)


@settings(max_examples=400, deadline=None)
@given(content=st.text(alphabet='a1",\n\rü', max_size=60).map(str.encode), size=st.integers(5, 40))
def test_csv_does_not_depend_on_the_blocks(content: bytes, size: int) -> None:
    assert in_blocks(size, "csv", content) == in_blocks(2**20, "csv", content)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(['{"a": 1}', '{"a": "x"}', "", "  ", '{"a":', "1}", '{"a": 2}{"a": 3}', "[]", "{}", '{"b": "}{"}']), max_size=12
    ),
    size=st.integers(1, 40),
)
def test_json_lines_do_not_depend_on_the_blocks(lines: list[str], size: int) -> None:
    content = "\n".join(lines).encode()
    assert in_blocks(size, "json", content) == in_blocks(2**20, "json", content)


_CELLS = st.text(alphabet='xyz ",\n\rü', max_size=8)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(_CELLS, _CELLS), max_size=20), end=st.sampled_from(["\n", "\r\n"]))
def test_csv_is_read_as_it_was_written(rows: list[tuple[str, str]], end: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    found, rejects, _ = read_csv(file.getvalue().encode())
    assert not rejects
    assert [(row["a"] or "", row["b"] or "") for row in found] == rows


def test_row_after_millions_is_rejected_alone() -> None:
    good = b"UA,1\n" * 2_500_000
    rows, total = 0, 0
    rejects: list[Reject] = []
    content = io.BytesIO(b"a,b\n" + good + b"broken\n" + good)
    for piece in CsvReader(content, "a.csv", schema=None, types=STRINGS).pieces(["a", "b"]):
        rows += piece.batch.num_rows
        rejects += piece.rejects
        total += piece.rows
    assert (rows, total) == (5_000_000, 5_000_001)
    assert [(reject.row, reject.position, reject.reason) for reject in rejects] == [
        (2_500_000, "line 2500002", "has 1 columns instead of 2")
    ]


def test_unclosed_quote_loses_one_line(block_bytes: int) -> None:
    content = b'1,2\n3,"4\n' + b'5,"6"\n' * 50 + b"7,8\n"
    rows, rejects, _ = read_csv(content)
    assert [row["a"] for row in rows] == ["1", *["5"] * 50, "7"]
    assert [reject[:2] for reject in rejects] == [(1, "line 3")]
