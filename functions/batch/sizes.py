"""Sizes of pieces of a dataset in memory and in requests, and division into smaller ones. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

# Bytes of a value without a fixed width, at least: an offset.
_MIN_BYTES = 4


def pieces(batch: pa.RecordBatch, size_of: Callable[[pa.RecordBatch], float], limit: float) -> Iterator[pa.RecordBatch]:
    """Yield the batch in order, halved until each part has at most the size `limit`, or one row."""
    if batch.num_rows <= 1 or size_of(batch) <= limit:
        yield batch
        return
    half = batch.num_rows // 2
    yield from pieces(batch.slice(0, half), size_of, limit)
    yield from pieces(batch.slice(half), size_of, limit)


def decoded_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of the columns with their dictionaries decoded."""
    return sum(map(_column_bytes, batch.columns))


def text_bytes(column: pa.Array) -> int:
    """Return the bytes of all strings of a column, repetitions included."""
    if types.is_dictionary(column.type):
        lengths = pc.binary_length(_without_views(column.dictionary)).take(column.indices)
    else:
        lengths = pc.binary_length(_without_views(column))
    return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)


def fixed_bytes(found: pa.DataType) -> int:
    """Return the bytes of a value of this type: the width of a fixed-width type, otherwise the least."""
    try:
        return max(1, int(found.bit_width) // 8)
    except ValueError:
        return _MIN_BYTES


def _column_bytes(column: pa.Array) -> int:
    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    if _has_length(plain):
        return text_bytes(column) + _MIN_BYTES * len(column)
    if types.is_nested(plain):
        return int(column.nbytes)
    return fixed_bytes(plain) * len(column)


def _has_length(found: pa.DataType) -> bool:
    return bool(
        types.is_string(found)
        or types.is_large_string(found)
        or types.is_binary(found)
        or types.is_large_binary(found)
        or types.is_string_view(found)
        or types.is_binary_view(found)
    )


def _without_views(column: pa.Array) -> pa.Array:
    """Cast views to binary, since `binary_length` does not support them."""
    if types.is_string_view(column.type) or types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column
