"""Parquet in bounded memory: pieces of limited rows and bytes, whatever the file's row groups and compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.cells import is_text
from functions.batch.errors import InvalidDataset
from functions.batch.sizes import decoded_bytes, fixed_bytes, pieces
from functions.batch.storage.column_chunks import ColumnChunk, column_chunks
from functions.batch.storage.damage import DAMAGED, damaged
from functions.batch.storage.pages import page_headers
from functions.batch.storage.pieces import Piece
from functions.batch.storage.stores import OpenFile

# Rows of a piece, at most.
_PIECE_ROWS = 16_384
# Decoded bytes of a piece, which is read in one call.
PIECE_BYTES = 16 * 2**20
# A row group with a higher compression ratio and more bytes is meant to exhaust its reader: data has ratios of 2 to 50.
_BOMB_RATIO = 1_000
# Bytes of a page that writers aim at.
_USUAL_PAGE_BYTES = 2**20
# Bytes of a nested value, at least: those of an integer or a double.
_VALUE_BYTES = 8
# Bytes of a column that are read ahead of a row group too large to be read at once.
_AHEAD_BYTES = 2**20


class ParquetReader:
    """A reader of an open Parquet file; `ahead` reads whole row groups, which is faster from an object store.

    Raises InvalidDataset.
    """

    def __init__(self, file: OpenFile, name: str, size: int, *, memory_bytes: int, ahead: bool = False) -> None:
        self._file, self._name, self._size, self._ahead = file, name, size, ahead
        self._memory_bytes = memory_bytes
        try:
            plain = pq.ParquetFile(file)
            self.schema: pa.Schema = plain.schema_arrow
            self.rows: int | None = plain.metadata.num_rows
            self._chunks = column_chunks(file, size, name) if _has_nested(self.schema) else []
            nested_values = [[column.values for column in group] for group in self._chunks]
            _check_sizes(plain.metadata, nested_values, size, name, memory_bytes)
            self._row_bytes = _row_bytes(plain.metadata, nested_values, self.schema)
            groups = map(plain.metadata.row_group, range(plain.metadata.num_row_groups))
            self._groups = [(group.num_rows, group.total_byte_size) for group in groups]
        except InvalidDataset:
            raise
        except DAMAGED as error:
            raise damaged(name, error, "is not a Parquet file", remedy="convert it to Parquet") from None
        # A request to an object store takes as long as the transfer of a megabyte.
        self._ahead_bytes = max(_AHEAD_BYTES, memory_bytes // 8 // len(self.schema)) if ahead and len(self.schema) else _AHEAD_BYTES
        self._checked: set[tuple[str, ...]] = set()
        # By whether it reads whole row groups at once.
        self._files: dict[bool, Any] = {False: None, True: None}

    def pieces(self, columns: Sequence[str], first_row: int = 0, *, piece_rows: int = _PIECE_ROWS) -> Iterator[Piece]:
        """Yield pieces of bounded bytes, with strings as dictionaries; rows of groups before `first_row` are skipped."""
        try:
            if tuple(columns) not in self._checked:  # whatever is read of them, and however often
                self._check_pages(columns)
                self._checked.add(tuple(columns))
            for groups, start, at_once in self._runs(first_row):
                for batch in self._batches(groups, columns, at_once, piece_rows):
                    for part in pieces(batch, decoded_bytes, PIECE_BYTES):
                        yield Piece(batch=part, first_row=start, rows=part.num_rows)
                        start += part.num_rows
        except InvalidDataset:
            raise
        except DAMAGED as error:
            raise damaged(self._name, error) from None

    def _check_pages(self, columns: Sequence[str]) -> None:
        """Check the pages that are held at the same time, one of each column. Raises InvalidDataset.

        Row groups below the limit cannot have a page above it.
        """
        memory = max(self._memory_bytes, 4 * _USUAL_PAGE_BYTES)
        most = memory // 4
        if all(size <= most for _, size in self._groups):
            return
        self._chunks = self._chunks or column_chunks(self._file, self._size, self._name)
        for number, group in enumerate(self._chunks):
            sizes = {column.path: self._page_bytes(column, most) for column in group if _is_read(column.path, columns)}
            largest = max(sizes, key=sizes.__getitem__, default="")
            if sizes and sizes[largest] > most:
                self._refuse(f"a page of the column {largest} in row group {number}", sizes[largest], 4 * sizes[largest])
            if sum(sizes.values()) > memory:
                self._refuse(f"one page of each column in row group {number}", sum(sizes.values()), sum(sizes.values()))

    def _page_bytes(self, column: ColumnChunk, most: int) -> int:
        """Return the bytes of the largest page; those of a column below the limit are estimated."""
        if column.decompressed <= most:
            return min(column.decompressed, _USUAL_PAGE_BYTES)
        return max((header.decompressed for header in page_headers(self._file, column.start, column.size)), default=0)

    def _refuse(self, what: str, size: int, needed: int) -> None:
        raise InvalidDataset(
            f"{what} of {self._name} decompresses to {size:,} bytes at once, too much for a memory of {self._memory_bytes // 2**20} MiB",
            remedy=f"write the file again with smaller pages, leave the column out, or set TIDEGATE_BATCH_MEMORY to {-(-needed // 2**20)}",
        )

    def _runs(self, first_row: int) -> Iterator[tuple[list[int], int, bool]]:
        """Yield the row groups that are read together, their first row, and whether they are read at once.

        Groups before `first_row` are skipped. PyArrow keeps the bytes of all groups that it reads at once.
        """
        run: list[int] = []
        row = start = size = 0
        most = self._memory_bytes // 4 if self._ahead else 0
        for number, (rows, group_size) in enumerate(self._groups):
            if row + rows > first_row:
                if run and (size <= most) != (size + group_size <= most):
                    yield run, start, size <= most
                    run, size = [], 0
                start = start if run else row
                run.append(number)
                size += group_size
            row += rows
        if run:
            yield run, start, size <= most

    def _batches(self, groups: list[int], columns: Sequence[str], at_once: bool, piece_rows: int) -> Iterator[pa.RecordBatch]:
        if self._files[at_once] is None:
            # A repeated string stays a dictionary: decoded for each row, a kilobyte of file could take gigabytes.
            texts = [field.name for field in self.schema if is_text(field.type) or pa.types.is_binary(field.type)]
            size = 0 if at_once else self._ahead_bytes
            self._files[at_once] = pq.ParquetFile(self._file, read_dictionary=texts, pre_buffer=at_once, buffer_size=size)
        rows = max(1, min(piece_rows, PIECE_BYTES // self._row_bytes))
        for batch in self._files[at_once].iter_batches(batch_size=rows, row_groups=groups, columns=list(columns)):
            yield batch.select(columns)


def _is_read(path: str, columns: Sequence[str]) -> bool:
    """Return whether a column of the file, perhaps inside a nested one, is among those that are read."""
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _has_nested(schema: pa.Schema) -> bool:
    """Return whether a row of the schema can have more than one value of a column."""
    return any(pa.types.is_nested(field.type) for field in schema)


def _row_bytes(metadata: pq.FileMetaData, nested_values: Sequence[Sequence[int]], schema: pa.Schema) -> int:
    """Return the decoded bytes of a row by the file's metadata: fixed-width values, and nested values on average."""
    fixed = sum(fixed_bytes(field.type) for field in schema)
    nested = 0
    for number, columns in enumerate(nested_values):
        rows = metadata.row_group(number).num_rows
        nested = max(nested, sum(max(0, values - rows) for values in columns) * _VALUE_BYTES // max(1, rows))
    return max(1, fixed + nested)


def _check_sizes(metadata: pq.FileMetaData, nested_values: Sequence[Sequence[int]], file_bytes: int, name: str, memory_bytes: int) -> None:
    """Check the compression ratios of all row groups. Raises InvalidDataset for one that data does not reach.

    Sizes of single columns are not asked for: PyArrow ends the process on damaged metadata of a column.
    """
    for number, group in enumerate(map(metadata.row_group, range(metadata.num_row_groups))):
        values = sum(nested_values[number]) if nested_values else 0
        size = max(group.total_byte_size, values * _VALUE_BYTES)
        if size > memory_bytes and size > _BOMB_RATIO * file_bytes:
            raise InvalidDataset(
                f"row group {number} of {name} decompresses from {file_bytes:,} to {size:,} bytes",
                remedy="write the file again with smaller row groups, or drop its largest column",
            )
