"""Parquet in bounded memory: read in pieces of limited rows and bytes, written to a temporary file and then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.errors import InvalidDataset, InvalidPath, WriteFailed
from functions.batch.sizes import decoded_bytes
from functions.batch.storage.damage import first_line
from functions.batch.storage.parquet import ParquetReader
from functions.batch.storage.paths import open_input, resolve_output
from functions.batch.storage.source import DEFAULT_MEMORY_BYTES

# Rows of a row group: large groups are read faster, but are held in memory until they are written.
_GROUP_ROWS = 65_536
# Decoded bytes of a row group that wait to be written.
_GROUP_BYTES = 64 * 2**20


class Reader:
    """A reader of a Parquet file below one of the `allowed` folders; None allows all.

    Raises InvalidPath for the path, and InvalidDataset for the content.
    """

    def __init__(self, path: str, allowed: Sequence[Path] | None = None) -> None:
        self._source = open_input(path, allowed)
        try:
            size = os.fstat(self._source.fileno()).st_size
            self._file = ParquetReader(self._source, path, size, memory_bytes=DEFAULT_MEMORY_BYTES)
        except InvalidDataset:
            self._source.close()
            raise
        self.schema: pa.Schema = self._file.schema
        self.rows: int = self._file.rows or 0

    def chunks(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield pieces of at most `rows` rows and of bounded bytes, with strings as dictionaries.

        Raises InvalidDataset.
        """
        for piece in self._file.pieces(self.schema.names, piece_rows=rows):
            yield piece.batch

    def close(self) -> None:
        """Close the file."""
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
            raise WriteFailed(f"cannot write {self._path} ({first_line(error)})", remedy="choose another path for the output") from None


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
