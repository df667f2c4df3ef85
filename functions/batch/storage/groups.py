"""Rows of an output in groups whose limits depend on the rows alone, so that files are equal to the byte in every run.

However the rows were cut when they came, a group ends after 65,536 rows, or earlier where rows are large.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from functions.batch.errors import InvalidDataset
from functions.batch.sizes import decoded_bytes, pieces

# Rows of a group: large groups are read faster, but are held in memory until they are written.
GROUP_ROWS = 65_536
# Decoded bytes of a group.
_GROUP_BYTES = 32 * 2**20
# Rows that are measured together; a divisor of the rows of a group.
_SPAN_ROWS = 8_192
_SPAN_BYTES = 16 * 2**20


class Groups:
    """Rows that wait until their group is complete; the batches may have dictionaries where the schema has strings."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._plain = pa.schema([field.with_type(_plain(field.type)) for field in schema])
        self._span: list[pa.RecordBatch] = []
        self._span_rows = 0
        self._group: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Add rows; yield the groups that they complete. Raises InvalidDataset for columns of other types."""
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, _SPAN_ROWS - self._span_rows)
            self._span.append(part)
            self._span_rows += part.num_rows
            start += part.num_rows
            if self._span_rows == _SPAN_ROWS:
                yield from self._measured()

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are left."""
        yield from self._measured()
        yield from self._completed()

    def _measured(self) -> Iterator[pa.RecordBatch]:
        """Move the span into the group, in pieces so small that they can be decoded."""
        spans, self._span, self._span_rows = self._span, [], 0
        for piece in pieces(_joined(spans), decoded_bytes, _SPAN_BYTES) if spans else ():
            plain = _cast_batch(piece, self._plain)
            self._group.append(plain)
            self._rows += plain.num_rows
            self._bytes += decoded_bytes(plain)
            if self._rows >= GROUP_ROWS or self._bytes >= _GROUP_BYTES:
                yield from self._completed()

    def _completed(self) -> Iterator[pa.RecordBatch]:
        group, self._group, self._rows, self._bytes = self._group, [], 0, 0
        if group:
            # Encoded again: the order of a dictionary would depend on how the rows were cut.
            yield _cast_batch(_joined(group), self._schema)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    # Parts of a column may have dictionaries or not, by the size of the values that the reader found.
    wanted = batches[0].schema
    same = all(batch.schema.equals(wanted) for batch in batches)
    if not same:
        plain = pa.schema([field.with_type(_plain(field.type)) for field in wanted])
        batches = [_cast_batch(batch, plain) for batch in batches]
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()[0]


def _cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    try:
        columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowException, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
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
