"""The bytes of each row of a batch, by its values alone: neither by how it is encoded, nor by what is before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from functions.batch.sizes import fixed_bytes

Sizes = NDArray[np.int64]
# Bytes of the offset of a value without a fixed width.
_OFFSET_BYTES = 4


def row_bytes(batch: pa.RecordBatch) -> Sizes:
    """Return the decoded bytes of each row."""
    return sum((_sizes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))


def _sizes(column: pa.Array) -> Sizes:
    found = column.type
    if types.is_dictionary(found):
        values = _sizes(column.dictionary)
        return _integers(pc.take(pa.array(values), column.indices), _OFFSET_BYTES)
    if types.is_struct(found):
        return sum(map(_sizes, column.flatten()), np.zeros(len(column), np.int64))
    if types.is_map(found):
        return _sizes(column.cast(pa.list_(pa.struct([found.key_field, found.item_field]))))
    if types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found):
        lengths = _integers(pc.list_value_length(column), 0)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(_sizes(column.flatten()))])
        last = np.cumsum(lengths)
        return np.asarray(ends[last] - ends[last - lengths] + _OFFSET_BYTES, np.int64)
    if types.is_string_view(found) or types.is_binary_view(found):
        return _sizes(column.cast(pa.large_binary()))
    if types.is_string(found) or types.is_binary(found) or types.is_large_string(found) or types.is_large_binary(found):
        return _integers(pc.binary_length(column), 0) + _OFFSET_BYTES
    return np.full(len(column), fixed_bytes(found), np.int64)


def _integers(column: Any, null: int) -> Sizes:
    found: Sizes = pc.fill_null(column.cast(pa.int64()), null).to_numpy(zero_copy_only=False)
    return found
