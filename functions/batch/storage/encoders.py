"""Encoders of the formats of an output: groups of rows in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from functions.batch import cells
from functions.batch.cells import InvalidCell
from functions.batch.errors import InvalidDataset
from functions.batch.storage.formats import Format


class Encoder(Protocol):
    """An encoder of one file."""

    def write(self, group: pa.RecordBatch) -> None:
        """Write some rows."""

    def close(self) -> None:
        """Write the end of the file."""


def encoder(kind: Format, stream: pa.NativeFile, schema: pa.Schema, name: str) -> Encoder:
    """Return the encoder of a format into a stream. Raises InvalidDataset for a column that the format cannot have."""
    if kind.compression:
        stream = pa.CompressedOutputStream(stream, kind.compression)
    if kind.name == "parquet":
        return _Parquet(stream, schema)
    if kind.name == "arrow":
        return _Arrow(stream, schema, is_stream=name.endswith(".arrows"))
    if kind.name == "csv":
        return _Csv(stream, schema)
    return _JsonLines(stream, schema)


class _Parquet:
    def __init__(self, stream: pa.NativeFile, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(stream, schema, compression="zstd")

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write_table(pa.Table.from_batches([group]), row_group_size=group.num_rows)

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, stream: pa.NativeFile, schema: pa.Schema, *, is_stream: bool) -> None:
        options = pa.ipc.IpcWriteOptions(unify_dictionaries=False, emit_dictionary_deltas=False)
        self._writer = (pa.ipc.new_stream if is_stream else _new_file)(stream, schema, options=options)

    def write(self, group: pa.RecordBatch) -> None:
        # A copy: buffers are written with the bytes after their values, and those of nulls, which differ between runs.
        self._writer.write_batch(group.take(pa.array(range(group.num_rows), pa.int64())))

    def close(self) -> None:
        self._writer.close()


def _new_file(stream: pa.NativeFile, schema: pa.Schema, *, options: pa.ipc.IpcWriteOptions) -> Any:
    if any(pa.types.is_dictionary(field.type) for field in schema):
        # The file format has one dictionary for a column, which is not known before the last group.
        raise InvalidDataset("an Arrow file cannot have dictionaries of several parts", remedy="write Parquet, or a stream (.arrows)")
    return pa.ipc.new_file(stream, schema, options=options)


class _Csv:
    def __init__(self, stream: pa.NativeFile, schema: pa.Schema) -> None:
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise InvalidDataset(f"CSV cannot hold the lists of the column {nested[0]}", remedy="write Parquet or JSON Lines")
        self._stream = stream
        self._writer = pacsv.CSVWriter(stream, schema)

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write_batch(group)

    def close(self) -> None:
        self._writer.close()
        self._stream.close()


class _JsonLines:
    def __init__(self, stream: pa.NativeFile, schema: pa.Schema) -> None:
        self._stream, self._names = stream, schema.names

    def write(self, group: pa.RecordBatch) -> None:
        columns = [_values(column, name) for name, column in zip(self._names, group.columns, strict=True)]
        dumps: Callable[..., bytes] = orjson.dumps
        lines = [dumps(dict(zip(self._names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in zip(*columns, strict=True)]
        self._stream.write(b"".join(lines))

    def close(self) -> None:
        self._stream.close()


def _values(column: pa.Array, name: str) -> list[Any]:
    try:
        return cells.json_values(column)
    except InvalidCell as error:
        raise InvalidDataset(f"the column {name} {error.reason}", remedy=error.remedy) from None
