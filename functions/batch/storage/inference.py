"""Types of columns in formats that have none."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types


def carried_type(inferred: pa.DataType) -> pa.DataType:
    """Return the type of a column by the type that its first values suggest: numbers, booleans, lists, else strings.

    Times stay strings, so that they are carried along as they were written.
    """
    if types.is_null(inferred) or types.is_temporal(inferred) or types.is_binary(inferred):
        return pa.string()
    return inferred
