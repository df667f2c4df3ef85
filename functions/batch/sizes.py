"""Sizes of pieces of a dataset in memory and in requests, and division into smaller ones. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
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


def row_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the bytes of each row with dictionaries decoded, which depend on its values alone."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _value_bytes(column)
    return sizes


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


def _value_bytes(column: pa.Array) -> NDArray[np.int64]:
    """Return the bytes of each value."""
    if types.is_dictionary(column.type):
        null = pa.nulls(1, column.type.value_type)
        indices = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)
        found: NDArray[np.int64] = np.concatenate([_value_bytes(column.dictionary), _value_bytes(null)])[indices]
        return found
    if _has_length(column.type):
        lengths = pc.binary_length(_without_views(column)).fill_null(0).cast(pa.int64())
        return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64) + _MIN_BYTES
    if types.is_struct(column.type):
        return sum((_value_bytes(child) for child in column.flatten()), np.zeros(len(column), np.int64))
    if types.is_nested(column.type):
        lists = column.cast(pa.list_(column.type.value_type)) if types.is_fixed_size_list(column.type) else column
        return _list_bytes(lists) + _MIN_BYTES
    return np.full(len(column), fixed_bytes(column.type), np.int64)


def _list_bytes(column: pa.Array) -> NDArray[np.int64]:
    if types.is_map(column.type):
        column = column.cast(pa.list_(pa.struct([pa.field("key", column.type.key_type), pa.field("value", column.type.item_type)])))
    if not (types.is_list(column.type) or types.is_large_list(column.type)):
        return np.full(len(column), column.nbytes // max(1, len(column)), np.int64)
    lengths = pc.list_value_length(column).fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    values = np.concatenate([np.zeros(1, np.int64), np.cumsum(_value_bytes(column.flatten()))])
    return np.asarray(values[ends] - values[ends - lengths], np.int64)


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
