"""Datasets as tests read them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from functions.batch.storage import EVERYTHING, Piece, Reject, Source, open_source


def opened(location: Path | str, **options: object) -> Source:
    return open_source(str(location), policy=EVERYTHING, **options)  # type: ignore[arg-type]


def pieces_of(source: Source, first_row: int = 0, rows: int | None = None) -> list[Piece]:
    return [piece for file in source.files for piece in source.batches(file, first_row, rows)]


def rows_of(source: Source, first_row: int = 0, rows: int | None = None) -> list[dict[str, object]]:
    """Return the rows of all files."""
    return [row for piece in pieces_of(source, first_row, rows) for row in piece.batch.to_pylist()]


def table_of(source: Source) -> pa.Table:
    """Return all rows with the types of the schema."""
    batches = [pa.Table.from_batches([piece.batch]).cast(source.schema) for piece in pieces_of(source)]
    return pa.concat_tables(batches) if batches else source.schema.empty_table()


def rejects_of(source: Source) -> list[Reject]:
    """Return the rejects of all files."""
    return [reject for piece in pieces_of(source) for reject in piece.rejects]
