"""Parquet in bounded memory: read in pieces of limited rows and bytes, written to a temporary file and then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.cells import is_text
from functions.batch.column_values import column_values
from functions.batch.errors import InvalidDataset, InvalidPath, WriteFailed
from functions.batch.paths import open_input, resolve_output
from functions.batch.sizes import decoded_bytes, fixed_bytes, pieces

# Rows of a row group: large groups are read faster, but are held in memory until they are written.
_GROUP_ROWS = 65_536
# Decoded bytes of a row group that wait to be written.
_GROUP_BYTES = 64 * 2**20
# Decoded bytes of a piece, which is read in one call.
_PIECE_BYTES = 16 * 2**20
# A row group with a higher compression ratio and more bytes is meant to exhaust its reader: data has ratios of 2 to 50.
_BOMB_RATIO = 1_000
_BOMB_BYTES = 256 * 2**20
# Bytes of a nested value, at least: those of an integer or a double.
_VALUE_BYTES = 8
# Exceptions of PyArrow for a damaged file.
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, IndexError, KeyError)


class Reader:
    """A reader of a Parquet file below one of the `allowed` folders; None allows all.

    Raises InvalidPath for the path, and InvalidDataset for the content.
    """

    def __init__(self, path: str, allowed: Sequence[Path] | None = None) -> None:
        self._path = path
        self._source = open_input(path, allowed)
        try:
            plain = pq.ParquetFile(self._source)
            self.schema: pa.Schema = plain.schema_arrow
            self.rows: int = plain.metadata.num_rows
            nested_values = column_values(self._source, path) if _has_nested(self.schema) else []
            _check_sizes(plain.metadata, nested_values, os.fstat(self._source.fileno()).st_size, path)
            self._row_bytes = _row_bytes(plain.metadata, nested_values, self.schema)
            # A repeated string stays a dictionary: decoded for each row, a kilobyte of file could take gigabytes.
            texts = [field.name for field in self.schema if is_text(field.type) or pa.types.is_binary(field.type)]
            self._file = pq.ParquetFile(self._source, read_dictionary=texts)
        except InvalidDataset:
            self._source.close()
            raise
        except DAMAGED as error:
            self._source.close()
            raise InvalidDataset(f"{path} is not a Parquet file ({_first_line(error)})", remedy="convert it to Parquet") from None

    def chunks(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield pieces of at most `rows` rows and of bounded bytes, with strings as dictionaries.

        Raises InvalidDataset.
        """
        rows = max(1, min(rows, _PIECE_BYTES // self._row_bytes))
        try:
            for batch in self._file.iter_batches(batch_size=rows):
                yield from pieces(batch, decoded_bytes, _PIECE_BYTES)
        except DAMAGED as error:
            raise InvalidDataset(f"{self._path} is damaged ({_first_line(error)})", remedy="write it again") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._source.close()


class Writer:
    """A writer of a Parquet file. Raises WriteFailed."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        with self._translate_errors():
            # An open file, since PyArrow would treat some paths as URIs.
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows; dictionaries are decoded where the schema has plain strings."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += decoded_bytes(batch)
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        self._flush()
        with self._translate_errors():
            self._writer.close()
            self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            with self._translate_errors():
                plain = [_cast_batch(batch, self._schema) for batch in self._waiting]
                self._writer.write_table(pa.Table.from_batches(plain, self._schema))
            self._waiting, self._rows, self._bytes = [], 0, 0

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteFailed(f"cannot write {self._path} ({_first_line(error)})", remedy="choose another path for the output") from None


@contextlib.contextmanager
def atomic(final: Path, schema: pa.Schema) -> Iterator[Writer]:
    """Write a file that gets its final name when the block succeeds, and is removed when it raises."""
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with contextlib.closing(Writer(temporary, schema)) as writer:
            yield writer
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: str, overwrite: bool, allowed: Sequence[Path] | None = None) -> Path:
    """Return the resolved path of the output.

    Raises InvalidPath when it exists, its folder does not, or it is not allowed.
    """
    resolved = resolve_output(path, allowed)
    if resolved.exists() and not overwrite:
        raise InvalidPath(f"the output {path} exists already", remedy="choose another name, or overwrite it with --overwrite")
    return resolved


def _cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Cast a batch to the types of the schema: a reader's pieces have dictionaries instead of strings."""
    columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type == wanted:
        return column
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain if plain.type == wanted else plain.cast(wanted)


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


def _check_sizes(metadata: pq.FileMetaData, nested_values: Sequence[Sequence[int]], file_bytes: int, path: str) -> None:
    """Check the compression ratios of all row groups. Raises InvalidDataset for one that data does not reach.

    Sizes of single columns are not asked for: PyArrow ends the process on damaged metadata of a column.
    """
    for number, group in enumerate(map(metadata.row_group, range(metadata.num_row_groups))):
        values = sum(nested_values[number]) if nested_values else 0
        size = max(group.total_byte_size, values * _VALUE_BYTES)
        if size > _BOMB_BYTES and size > _BOMB_RATIO * file_bytes:
            raise InvalidDataset(
                f"row group {number} of {path} decompresses from {file_bytes:,} to {size:,} bytes",
                remedy="write the file again with smaller row groups, or drop its largest column",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
