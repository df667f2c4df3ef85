"""Rows of an output in groups whose limits depend on the rows alone, so that files are equal to the byte in every run.

However the rows were cut when they came, a group ends after 65,536 rows, or earlier where rows are large.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from functions.batch.errors import InvalidDataset, first_line
from functions.batch.sizes import row_bytes

# Rows of a group: large groups are read faster, but are held in memory until they are written.
GROUP_ROWS = 65_536
# Decoded bytes of a group, which its last row may exceed.
GROUP_BYTES = 32 * 2**20


class Groups:
    """Rows that wait until their group is complete; the batches may have dictionaries where the schema has strings."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._plain = pa.schema([field.with_type(_plain(field.type)) for field in schema])
        self._group: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Add rows; yield the groups that they complete. Raises InvalidDataset for columns of other types."""
        sizes = np.cumsum(row_bytes(batch))
        start = before = 0
        while start < batch.num_rows:
            full = int(np.searchsorted(sizes, before + GROUP_BYTES - self._bytes)) + 1
            stop = min(batch.num_rows, start + GROUP_ROWS - self._rows, full)
            self._group.append(batch.slice(start, stop - start))
            self._rows += stop - start
            self._bytes += int(sizes[stop - 1]) - before
            start, before = stop, int(sizes[stop - 1])
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                yield self._completed()

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are left."""
        if self._group:
            yield self._completed()

    def _completed(self) -> pa.RecordBatch:
        group, self._group, self._rows, self._bytes = self._group, [], 0, 0
        plain = [_cast_batch(batch, self._plain) for batch in group]
        joined = plain[0] if len(plain) == 1 else pa.Table.from_batches(plain).combine_chunks().to_batches()[0]
        # Encoded again: the order of a dictionary would depend on how the rows were cut.
        return _cast_batch(joined, self._schema)


def _cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    try:
        columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowException, ValueError) as error:
        reason = first_line(error)
        raise InvalidDataset(f"rows do not have the columns of the output ({reason})", remedy="report this as a bug") from None


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type == wanted:
        return column
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_dictionary(wanted):
        return plain.cast(wanted.value_type).dictionary_encode().cast(wanted)
    return plain if plain.type == wanted else plain.cast(wanted)


def _plain(found: pa.DataType) -> pa.DataType:
    return found.value_type if pa.types.is_dictionary(found) else found
