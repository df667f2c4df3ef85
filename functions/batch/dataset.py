"""Parquet in bounded memory: read in pieces of so many rows and bytes, written beside its final name and renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.cells import is_text
from functions.batch.places import opened, writable
from functions.batch.sizes import decoded_bytes, fixed_bytes, pieces
from functions.runtime.errors import InvalidInput

# Rows of a row group: readers like large ones, and they are held in memory until they are written.
_GROUP_ROWS = 65_536
# Decoded bytes of a row group that are waiting to be written.
_GROUP_BYTES = 64 * 2**20
# Decoded bytes of a piece, and what is read from the file in one go.
_PIECE_BYTES = 16 * 2**20
# A column that is packed more than so many times, and has more than so many bytes, is made to exhaust its reader: data packs 2 to 50 times.
_BOMB_RATIO = 1_000
_BOMB_BYTES = 256 * 2**20
# Bytes of a nested value, at the least: that of an integer or a double.
_VALUE_BYTES = 8
# PyArrow reports what is wrong with a file by any of these.
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, IndexError, KeyError)


class Reader:
    """A Parquet file, below one of the `allowed` folders; None allows all. Raises InvalidInput when there is none at this path."""

    def __init__(self, path: str, allowed: Sequence[Path] | None = None) -> None:
        self._path = path
        self._source = opened(path, allowed)
        try:
            plain = pq.ParquetFile(self._source)
            self.schema: pa.Schema = plain.schema_arrow
            self.rows: int = plain.metadata.num_rows
            _check_sizes(plain.metadata, path)
            # A string that is there once stays so: written out for each row, a kilobyte of file could take gigabytes.
            texts = [field.name for field in self.schema if is_text(field.type) or pa.types.is_binary(field.type)]
            self._file = pq.ParquetFile(self._source, read_dictionary=texts)
        except InvalidInput:
            self._source.close()
            raise
        except DAMAGED as error:
            self._source.close()
            raise InvalidInput(f"{path} is not a Parquet file ({_first_line(error)}); convert it to Parquet.") from None

    def chunks(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Pieces of at most so many rows, and of bounded bytes; strings are dictionaries in them. Raises InvalidInput."""
        rows = max(1, min(rows, _PIECE_BYTES // _row_bytes(self._file.metadata, self.schema)))
        try:
            for batch in self._file.iter_batches(batch_size=rows):
                yield from pieces(batch, decoded_bytes, _PIECE_BYTES)
        except DAMAGED as error:
            raise InvalidInput(f"{self._path} is damaged ({_first_line(error)}); write it again.") from None

    def close(self) -> None:
        self._file.close()
        self._source.close()


class Writer:
    """Raises InvalidInput when the place does not take the file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        with self._told():
            # An open file: PyArrow would take some paths for URIs.
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """Its dictionaries may stand for plain strings."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += decoded_bytes(batch)
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        with self._told():
            self._writer.close()
            self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            with self._told():
                plain = [_as_in(batch, self._schema) for batch in self._waiting]
                self._writer.write_table(pa.Table.from_batches(plain, self._schema))
            self._waiting, self._rows, self._bytes = [], 0, 0

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidInput(f"cannot write {self._path} ({_first_line(error)}); choose another place for the output.") from None


@contextlib.contextmanager
def atomic(final: Path, schema: pa.Schema) -> Iterator[Writer]:
    """A writer whose file appears under its name when the block ends well, and not at all when it does not."""
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with contextlib.closing(Writer(temporary, schema)) as writer:
            yield writer
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: str, overwrite: bool, allowed: Sequence[Path] | None = None) -> Path:
    """Where the output goes. Raises InvalidInput when it is there already, or its folder is not, or may not be used."""
    place = writable(path, allowed)
    if place.exists() and not overwrite:
        raise InvalidInput(f"the output {path} exists already; choose another name, or overwrite it by --overwrite.")
    return place


def _as_in(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """With the types of the schema, which the strings of a reader's pieces do not have."""
    columns = [_as(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type == wanted:
        return column
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain if plain.type == wanted else plain.cast(wanted)


def _row_bytes(metadata: pq.FileMetaData, schema: pa.Schema) -> int:
    """Decoded bytes of a row, as far as the file's own index says: those of fixed width, and of nested values on average."""
    fixed = sum(fixed_bytes(field.type) for field in schema)
    nested = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        values = sum(max(0, group.column(index).num_values - group.num_rows) for index in range(group.num_columns))
        nested = max(nested, values * _VALUE_BYTES // max(1, group.num_rows))
    return max(1, fixed + nested)


def _check_sizes(metadata: pq.FileMetaData, path: str) -> None:
    """Raises InvalidInput for a column of a row group that is packed beyond what data is."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            nested = column.num_values * _VALUE_BYTES if column.num_values > group.num_rows else 0
            size = max(column.total_uncompressed_size, nested)
            if size > _BOMB_BYTES and size > _BOMB_RATIO * column.total_compressed_size:
                raise InvalidInput(
                    f"the column {column.path_in_schema} of {path} becomes {size:,} bytes out of {column.total_compressed_size:,}; "
                    "write the file again with smaller row groups, or leave the column out."
                )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
