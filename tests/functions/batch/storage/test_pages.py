"""Pages of Parquet files: their sizes by their headers, and a limit on what is decompressed at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.errors import InvalidDataset
from functions.batch.storage import parquet
from functions.batch.storage.column_chunks import column_chunks
from functions.batch.storage.pages import InvalidPage, PageHeader, page_headers, parse
from tests.functions.batch.storage.datasets import opened, rows_of

ROWS = 4_000
TEXT = pa.array([f"{row:01000}" for row in range(ROWS)])
TABLE = pa.table({"id": range(ROWS), "text": TEXT, "tags": [["a", str(row)] for row in range(ROWS)]})
MIB = 2**20


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_pages_add_up_to_the_column_that_has_them(version: str, dictionary: bool, compression: str) -> None:
    file = io.BytesIO()
    options = {"use_dictionary": dictionary, "compression": compression, "data_page_version": version}
    pq.write_table(TABLE, file, row_group_size=1_500, data_page_size=10_000, write_batch_size=100, write_page_checksum=True, **options)
    groups = column_chunks(file, file.getbuffer().nbytes, "a.parquet")
    assert len(groups) == 3
    for column in (column for group in groups for column in group):
        headers = list(page_headers(file, column.start, column.size))
        assert sum(header.length + header.compressed for header in headers) == column.size
        assert sum(header.length + header.decompressed for header in headers) == column.decompressed


@given(st.binary(max_size=200))
def test_damaged_header_is_an_error(content: bytes) -> None:
    try:
        header = parse(content)
    except (InvalidPage, IndexError):
        return
    assert 0 < header.length <= len(content)
    assert min(header.compressed, header.decompressed) >= 0


def test_page_above_the_memory_is_refused_unless_its_column_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, use_dictionary=False, compression="zstd", data_page_size=2**30, write_batch_size=ROWS)
    with pytest.raises(
        InvalidDataset,
        match=r"^a page of the column text in row group 0 of \S+ decompresses to 4,016,\d+ bytes at once, too much for a memory of 8 MiB; "
        r"write the file again with smaller pages, leave the column out, or set TIDEGATE_BATCH_MEMORY to 16\.$",
    ):
        rows_of(opened(path, memory_bytes=8 * MIB))
    assert len(rows_of(opened(path, memory_bytes=8 * MIB, columns=["id", "tags"]))) == ROWS
    assert rows_of(opened(path, memory_bytes=16 * MIB)) == TABLE.to_pylist()


def test_columns_whose_pages_together_exceed_the_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({f"c{number}": TEXT.slice(0, 900) for number in range(6)}), path, use_dictionary=False)
    with pytest.raises(InvalidDataset, match=r"^one page of each column in row group 0 of \S+ decompresses to 5,\d+,\d+ bytes at once"):
        rows_of(opened(path, memory_bytes=4 * MIB))
    assert len(rows_of(opened(path, memory_bytes=4 * MIB, columns=["c0", "c1"]))) == 900
    assert len(rows_of(opened(path, memory_bytes=8 * MIB))) == 900


def test_small_pages_of_a_large_row_group_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, use_dictionary=False, data_page_size=100_000, write_batch_size=100)
    assert rows_of(opened(path, memory_bytes=4 * MIB)) == TABLE.to_pylist()


def test_pages_are_checked_once_for_all_stretches_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, use_dictionary=False, data_page_size=100_000, write_batch_size=100)
    checked = []

    def checking(*place: Any) -> Iterator[PageHeader]:
        checked.append(place)
        return page_headers(*place)

    monkeypatch.setattr(parquet, "page_headers", checking)
    source = opened(path, memory_bytes=4 * MIB)
    wanted = [(0, 10), (1_000, 10), (3_990, 10)]
    found = [row for pieces in source.stretches(source.files[0], wanted) for piece in pieces for row in piece.batch.to_pylist()]
    assert found == [row for first, rows in wanted for row in TABLE.slice(first, rows).to_pylist()]
    assert len(checked) == 1  # the only large column
