"""Division of a part into blocks that are written at once, by its rows alone: however they arrive, the bytes are equal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow import types

from functions.batch.run.row_bytes import row_bytes

# Decoded bytes of a block, which is held in memory until it is written.
BLOCK_BYTES = 16 * 2**20


class Blocks:
    """Collects rows and yields blocks: contiguous batches of `schema` that end with the row that fills them."""

    def __init__(self, schema: pa.Schema, block_bytes: int = BLOCK_BYTES) -> None:
        self._schema = schema
        self._limit = block_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield the blocks that these rows complete."""
        begin, ends = 0, np.cumsum(row_bytes(batch))
        while begin < batch.num_rows:
            before = int(ends[begin - 1]) if begin else 0
            end = int(np.searchsorted(ends, before + self._limit - self._bytes)) + 1
            self._waiting.append(batch.slice(begin, end - begin))
            if end > batch.num_rows:
                self._bytes += int(ends[-1]) - before
                return
            yield self._taken()
            begin = end

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Yield the last block, if there are rows left."""
        if self._waiting:
            yield self._taken()

    def _taken(self) -> pa.RecordBatch:
        plain = [plain_batch(batch, self._schema) for batch in self._waiting]
        self._waiting, self._bytes = [], 0
        return pa.concat_batches(plain) if len(plain) > 1 else plain[0]


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the types of the schema: a reader's pieces have dictionaries instead of strings."""
    columns = [_plain(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type == wanted:
        return column
    plain = column.dictionary_decode() if types.is_dictionary(column.type) else column
    return plain if plain.type == wanted else plain.cast(wanted)
