"""Frames of any engine as columns of Arrow, and columns of Arrow added to a frame. Pure functions.

A frame is a pandas.DataFrame, a pyarrow.Table or RecordBatch, or a mapping from names to NumPy arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from common.errors import RemediedError


class InvalidFrame(RemediedError):
    """A frame lacks a column, or has a column or a row that the model does not take."""


def is_frame(data: object) -> bool:
    """Return whether the data are a frame."""
    return isinstance(data, pa.Table | pa.RecordBatch | Mapping) or _is_pandas(data)


def names_of(frame: Any) -> list[str]:
    """Return the names of all columns."""
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return list(frame.schema.names)
    return [str(name) for name in (frame if isinstance(frame, Mapping) else frame.columns)]


def batch_of(frame: Any, names: Collection[str]) -> pa.RecordBatch:
    """Return the named columns of a frame, in its order; NaN of pandas and NumPy becomes null. Raises InvalidFrame."""
    labels = frame.schema.names if isinstance(frame, pa.Table | pa.RecordBatch) else list(frame)
    found = {str(label): _column(frame, label) for label in labels if str(label) in names}
    return pa.RecordBatch.from_arrays(list(found.values()), list(found))


def with_columns(frame: Any, columns: Sequence[pa.Array], names: Sequence[str]) -> Any:
    """Return a frame of the same kind with more columns; an index of pandas stays."""
    added = dict(zip(names, columns, strict=True))
    if isinstance(frame, pa.Table | pa.RecordBatch):
        for name, column in added.items():
            frame = frame.append_column(name, column)
        return frame
    if isinstance(frame, Mapping):
        return {**frame, **{name: _to_numpy(column) for name, column in added.items()}}
    # As arrays, since a series would be aligned by its index.
    return frame.assign(**{name: column.to_pandas().array for name, column in added.items()})


def index_of(frame: Any, row: int) -> str:
    """Return the label of a row in the index of pandas in parentheses, unless it is the position itself."""
    if not _is_pandas(frame) or row >= len(frame):
        return ""
    label = frame.index[row]
    return "" if label == row else f" (index {label!s:.80})"


def _is_pandas(data: object) -> bool:
    # Data cannot be of a package that is not imported.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _column(frame: Any, label: Any) -> pa.Array:
    column = frame[label]
    try:
        converted = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, from_pandas=True)
        whole = converted.combine_chunks() if isinstance(converted, pa.ChunkedArray) else converted
        # A column without values has any type: pandas gives it that of numbers.
        return pa.nulls(len(whole)) if whole.null_count == len(whole) else whole
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise InvalidFrame(f"the column {label} cannot be read: {reason}", remedy="give all of its values one type") from None


def _to_numpy(column: pa.Array) -> Any:
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    return column.to_numpy(zero_copy_only=False)
