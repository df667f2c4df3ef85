"""Outcomes: what is known by now of each row, from a column of booleans or of 0 and 1. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from tidegate.backtest.errors import InvalidOutcomes

_REMEDY = "write true and false, or 1 and 0"


def check_type(name: str, schema: pa.Schema, place: str) -> None:
    """Check that a column can hold outcomes. Raises InvalidOutcomes."""
    if name not in schema.names:
        raise InvalidOutcomes(f"{place} has no column {name}", remedy=f"name one of its columns with --label: {_listed(schema.names)}")
    found = schema.field(name).type
    plain = found.value_type if types.is_dictionary(found) else found
    if not (types.is_boolean(plain) or types.is_integer(plain) or types.is_floating(plain) or types.is_decimal(plain)):
        raise InvalidOutcomes(f"the label {name} is a column of the type {plain}", remedy=_REMEDY)


def read(column: pa.Array, name: str, place: str, first_row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are true, and which are known; null and NaN are unknown.

    `first_row` is the index of the first row in the file `place`. Raises InvalidOutcomes for a number that is neither 0
    nor 1.
    """
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False) if not types.is_boolean(column.type) else _of_booleans(column)
    known = ~np.isnan(numbers)
    wrong = known & (numbers != 0) & (numbers != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidOutcomes(
            f"the label {name} is {numbers[row]:g} in row {first_row + row} of {place}, but a backtest compares probabilities of yes or no",
            remedy=_REMEDY,
        )
    return numbers == 1, known


def _of_booleans(column: pa.Array) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = pc.if_else(column, 1.0, 0.0).to_numpy(zero_copy_only=False)
    return numbers


@dataclass(slots=True)
class Count:
    """What a column of outcomes contains: rows, those with an unknown outcome, and those that are true."""

    rows: int = 0
    unknown: int = 0
    true: int = 0
    first_unknown: str = ""

    def add(self, true: NDArray[np.bool_], known: NDArray[np.bool_], place: str, first_row: int) -> None:
        """Count some rows of the file `place`."""
        if not self.unknown and not known.all():
            self.first_unknown = f"row {first_row + int((~known).argmax())} of {place}"
        self.rows += len(known)
        self.unknown += int((~known).sum())
        self.true += int(true.sum())

    def check(self, name: str, place: str, *, drop_unknown: bool) -> None:
        """Check that the outcomes can be compared with probabilities. Raises InvalidOutcomes."""
        if not self.rows:
            raise InvalidOutcomes(f"{place} has no rows", remedy="name a file with rows")
        if self.unknown and not drop_unknown:
            raise InvalidOutcomes(
                f"the label {name} is null in {self.unknown:,} of {self.rows:,} rows, first in {self.first_unknown}",
                remedy="leave such rows out with --drop-unknown, or fill them",
            )
        known = self.rows - self.unknown
        if not known:
            raise InvalidOutcomes(f"the label {name} is null in all {self.rows:,} rows of {place}", remedy="name a column with outcomes")
        if self.true in (0, known):
            value = "true" if self.true else "false"
            raise InvalidOutcomes(
                f"the label {name} is {value} in all {known:,} rows of {place}, so nothing can be separated",
                remedy="name a file with rows of both outcomes",
            )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
