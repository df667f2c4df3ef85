"""Columns that divide the rows: into slices, which are shown, and into clusters, which are resampled. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

from functions.batch import cells
from functions.batch.cells import InvalidCell
from tidegate.backtest.bootstrap import MAX_BLOCKS
from tidegate.backtest.errors import InvalidGroups

# A person reads no more slices, and each costs a bootstrap.
MAX_SLICES = 200
MISSING = "(none)"

Codes = NDArray[np.int32]


def check_column(option: str, name: str, schema: pa.Schema, place: str) -> None:
    """Check that a column exists, and that its values can be written. Raises InvalidGroups."""
    if name not in schema.names:
        raise InvalidGroups(f"{place} has no column {name}, which {option} names", remedy="name one of its columns")
    if not cells.is_key(schema.field(name).type):
        raise InvalidGroups(
            f"the column {name} of {place} is {schema.field(name).type}, which cannot divide the rows",
            remedy="name a column of strings, numbers or times",
        )


class SliceColumn:
    """The values of a column by number, in the order in which they were met."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, int] = {}

    def codes(self, column: pa.Array) -> Codes:
        """Return the number of each row's value. Raises InvalidGroups for a column with too many values."""
        return _mapped(column, self.name, self._code)

    def _code(self, text: str) -> int:
        code = self.values.setdefault(text, len(self.values))
        if code >= MAX_SLICES:
            raise InvalidGroups(
                f"the column {self.name} has more than {MAX_SLICES} different values, too many for slices",
                remedy="name a column of few values, such as a category or a month",
            )
        return code


def cluster_codes(column: pa.Array, name: str) -> Codes:
    """Return the block of each row's value: one of MAX_BLOCKS by its hash, so that no value has to be remembered."""
    return _mapped(column, name, _block)


def _block(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % MAX_BLOCKS


def _mapped(column: pa.Array, name: str, code_of: Callable[[str], int]) -> Codes:
    encoded = column if types.is_dictionary(column.type) else column.dictionary_encode()
    try:
        texts = cells.keys(encoded.dictionary)
    except InvalidCell as error:
        raise InvalidGroups(f"the column {name} {error.reason}", remedy=error.remedy) from None
    used = np.zeros(len(texts) + 1, dtype=np.bool_)
    indices = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False).astype(np.int64)
    used[indices] = True
    # Only values that occur: a dictionary of Parquet may have others.
    codes = [code_of(text or MISSING) if here else 0 for text, here in zip([*texts, None], used, strict=True)]
    found: Codes = np.array(codes, dtype=np.int32)[indices]
    return found
