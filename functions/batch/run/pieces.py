"""The rows of a source, cut into its parts: what is read, in order, with the end of each part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.batch.run.manifest import RejectedRow
from functions.batch.run.plan import PART_ROWS, PartId, Stretch, span_count
from functions.batch.storage import Piece


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a part to be scored; `numbers` are their rows in the file."""

    part: PartId
    batch: pa.RecordBatch
    numbers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row of a part that cannot be read."""

    part: PartId
    reject: RejectedRow


@dataclass(frozen=True, slots=True)
class End:
    """The end of a part: `read` are its rows in the file, and `last` says that it ends the file."""

    part: PartId
    read: int
    last: bool


Item = Rows | Unreadable | End


def items(pieces: Iterable[Piece], stretch: Stretch, file_rows: int | None, chunk_rows: int) -> Iterator[Item]:
    """Cut the pieces of a stretch into parts, and these into chunks of at most `chunk_rows`.

    The end of a part is known when the next one begins: a file of unknown length may end with a full part.
    """
    part, end = PartId(stretch.file, stretch.first_span), stretch.first_row
    for piece in pieces:
        begin, end = piece.first_row, piece.first_row + piece.rows
        while begin < end:
            if begin >= part.first_row + PART_ROWS:
                yield End(part, PART_ROWS, last=False)
                part = PartId(part.file, part.span + 1)
            stop = min(end, part.first_row + PART_ROWS)
            yield from _within(piece, part, begin, stop, chunk_rows)
            begin = stop
    yield End(part, end - part.first_row, last=_is_last(part, stretch, file_rows))


def _within(piece: Piece, part: PartId, begin: int, stop: int, chunk_rows: int) -> Iterator[Item]:
    """The rows of a piece from `begin` to before `stop`, and those among them that cannot be read."""
    for reject in piece.rejects:
        if begin <= reject.row < stop:
            yield Unreadable(part, RejectedRow(row=reject.row, position=reject.position, reason=reject.reason))
    numbers = piece.row_numbers().to_numpy()
    low, high = (int(position) for position in np.searchsorted(numbers, (begin, stop)))
    for start in range(low, high, chunk_rows):
        end = min(high, start + chunk_rows)
        yield Rows(part, piece.batch.slice(start, end - start), numbers[start:end])


def _is_last(part: PartId, stretch: Stretch, file_rows: int | None) -> bool:
    return stretch.spans is None if file_rows is None else part.span == span_count(file_rows) - 1
