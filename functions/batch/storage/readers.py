"""From a file in a store to a reader of its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from functions.batch.storage.arrow_ipc import ArrowReader
from functions.batch.storage.compression import Decompressed
from functions.batch.storage.delimited import CsvReader
from functions.batch.storage.formats import Format
from functions.batch.storage.json_lines import JsonLinesReader
from functions.batch.storage.parquet import ParquetReader
from functions.batch.storage.pieces import Piece
from functions.batch.storage.stores import Found, OpenFile, Store


class Reader(Protocol):
    """A reader of one open file."""

    schema: pa.Schema
    rows: int | None

    def pieces(self, columns: Sequence[str], first_row: int = 0) -> Iterator[Piece]:
        """Yield the pieces of the file; it may begin before `first_row`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the files of a dataset are read; `schema` is that of its first file, None while that is opened."""

    memory_bytes: int
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    schema: pa.Schema | None = None


class OpenedFile:
    """A file with its reader and version, to be closed."""

    def __init__(self, found: Found, kind: Format, store: Store, reading: Reading, *, versioned: bool = False) -> None:
        with ExitStack() as stack:
            file = stack.enter_context(store.open(found.location))
            self.version = store.version(file) if versioned else ""
            self.reader = _reader(file, found, kind, reading)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


def _reader(file: OpenFile, found: Found, kind: Format, reading: Reading) -> Reader:
    name, size, memory = str(found.location), found.size, reading.memory_bytes
    if kind.name == "parquet":
        return ParquetReader(file, name, size, memory_bytes=memory, ahead=not found.location.is_local)
    if kind.name == "arrow":
        arrow = ArrowReader(file, name, size, memory_bytes=memory)
        if found.location.is_local:
            arrow.rows = arrow.count()
        return arrow
    text = Decompressed(file, kind.compression, name, size, memory_bytes=memory) if kind.compression else file
    if kind.name == "csv":
        return CsvReader(text, name, schema=reading.schema, types=reading.types)
    return JsonLinesReader(text, name, schema=reading.schema, types=reading.types)
