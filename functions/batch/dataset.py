"""A Parquet file read in bounded memory, in pieces of limited rows and bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa

from functions.batch.errors import InvalidDataset
from functions.batch.storage.parquet import ParquetReader
from functions.batch.storage.paths import open_input
from functions.batch.storage.source import DEFAULT_MEMORY_BYTES


class Reader:
    """A reader of a local Parquet file.

    Raises InvalidPath for the path, and InvalidDataset for the content.
    """

    def __init__(self, path: str) -> None:
        self._source = open_input(path)
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
