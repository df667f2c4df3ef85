"""Rows of text in bounded memory: parsed block by block, and row by row where a block has a bad row.

A row that cannot be parsed becomes a reject with its line, and reading goes on after it. What is a row, and which rows
are rejected, depends on the content alone, not on where a block ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol

import pyarrow as pa

from functions.batch.storage.pieces import Piece, Reject
from functions.batch.storage.stores import OpenFile

BLOCK_BYTES = 2**20
# A longer row is rejected: a quote that is never closed would make the rest of a file one row.
MAX_ROW_BYTES = 4 * 2**20
# Decoded bytes of rows that are parsed together.
_PARSED_BYTES = 16 * 2**20
# Rows that are parsed together first where a block has a bad row.
_GROUP_ROWS = 256


class BadRows(ValueError):
    """Some of the rows cannot be parsed; the text is the reason."""


class Dialect(Protocol):
    """The syntax of rows, and their parser."""

    schema: pa.Schema
    row_bytes: int
    """Decoded bytes of a row, at least."""

    def complete(self, text: bytes, final: bool) -> int:
        """Return the length of the complete rows that a text begins with; a `final` text has no continuation."""

    def rows(self, text: bytes, start: int) -> Iterator[bytes]:
        """Yield the complete rows of a text, with their line ends; blank ones too."""

    def is_blank(self, row: bytes) -> bool:
        """Return whether a row is blank, and does not count."""

    def is_complete(self, text: bytes) -> bool:
        """Return whether the last of some lines is a row, if all lines before it are."""

    def is_ambiguous(self, text: bytes) -> bool:
        """Return whether the parser could take a row of a text for several."""

    def parse(self, text: bytes) -> pa.RecordBatch:
        """Parse complete rows. Raises BadRows."""


class TextReader:
    """A reader of the rows of a file; `line` is the number of the first row's line, from 1."""

    def __init__(self, file: OpenFile, dialect: Dialect, *, line: int = 1) -> None:
        self._file = file
        self._dialect = dialect
        self._row = 0
        self._line = line
        self._group_rows = max(1, _PARSED_BYTES // dialect.row_bytes)

    def pieces(self, buffer: bytes = b"") -> Iterator[Piece]:
        """Yield all rows; `buffer` is the text that was read before. Raises what the file raises."""
        final = False
        while not final or buffer:
            end = len(buffer) if final else buffer.rfind(b"\n") + 1
            if end and (piece := self._lines(buffer[:end])):
                yield piece
                buffer = buffer[end:]
            elif end := self._dialect.complete(buffer, final):
                consumed = yield from self._row_by_row(buffer[:end])
                buffer = buffer[consumed:]
            elif final or len(buffer) > MAX_ROW_BYTES:
                buffer, final = yield from self._broken_line(buffer, final)
            else:
                chunk = read_exactly(self._file, BLOCK_BYTES)
                final = len(chunk) < BLOCK_BYTES
                buffer += chunk

    def _lines(self, block: bytes) -> Piece | None:
        """Return the rows of some lines when each is a good row, as in most files; else None."""
        lines = block.count(b"\n")
        rows = lines + (not block.endswith(b"\n"))
        if (
            len(block) > MAX_ROW_BYTES
            or rows > self._group_rows
            or self._dialect.is_ambiguous(block)
            or not self._dialect.is_complete(block)
        ):
            return None
        batch = self._parsed(block, rows)
        return self._good(batch, lines) if isinstance(batch, pa.RecordBatch) else None

    def _row_by_row(self, block: bytes) -> Generator[Piece, None, int]:
        """Parse groups of rows, doubled while they are good and halved while they are bad."""
        position, most = 0, min(_GROUP_ROWS, self._group_rows)
        rows = self._dialect.rows(block, 0)
        waiting: list[bytes] = []
        while True:
            while len(waiting) < most and (row := next(rows, None)) is not None:
                waiting.append(row)
            if not waiting:
                return position
            group = self._group(waiting[:most])
            batch = self._parsed(b"".join(group), sum(not self._dialect.is_blank(row) for row in group))
            if isinstance(batch, pa.RecordBatch):
                del waiting[: len(group)]
                most = min(2 * most, self._group_rows, 2 * _GROUP_ROWS * _GROUP_ROWS)
                position += sum(map(len, group))
                yield self._good(batch, sum(row.count(b"\n") for row in group))
            elif len(group) > 1:
                most = len(group) // 2
            else:
                # Of a row of several lines only the first is rejected: its quote may have been closed by mistake.
                line = _first_line(group[0])
                yield self._bad(batch, line)
                position += len(line)
                if line != group[0]:
                    rows, waiting = self._dialect.rows(block, position), []
                else:
                    del waiting[0]

    def _group(self, rows: list[bytes]) -> list[bytes]:
        """Return the first rows up to an ambiguous or too long one, which is alone."""
        for number, row in enumerate(rows):
            if len(row) > MAX_ROW_BYTES or self._dialect.is_ambiguous(row):
                return rows[: number or 1]
        return rows

    def _parsed(self, text: bytes, expected: int) -> pa.RecordBatch | str:
        """Return the rows of a text, or the reason why some are bad."""
        if len(text) > MAX_ROW_BYTES and text.count(b"\n") <= 1:
            return _TOO_LONG
        try:
            batch = self._dialect.parse(text)
        except BadRows as error:
            return str(error)
        if batch.num_rows != expected:
            return "has several values" if batch.num_rows > expected else "is incomplete"
        return batch

    def _broken_line(self, buffer: bytes, final: bool) -> Generator[Piece, None, tuple[bytes, bool]]:
        """Reject the first line of a text without a complete row; return the text after it."""
        end = buffer.find(b"\n") + 1
        reason = _UNCLOSED if end else _TOO_LONG if len(buffer) > MAX_ROW_BYTES else _UNCLOSED
        while not end and not final:
            buffer = read_exactly(self._file, BLOCK_BYTES)
            final = len(buffer) < BLOCK_BYTES
            end = buffer.find(b"\n") + 1
        end = end or len(buffer)
        yield self._bad(reason, buffer[:end])
        return buffer[end:], final

    def _good(self, batch: pa.RecordBatch, lines: int) -> Piece:
        piece = Piece(batch=batch, first_row=self._row, rows=batch.num_rows)
        self._row += batch.num_rows
        self._line += lines
        return piece

    def _bad(self, reason: str, line: bytes) -> Piece:
        reject = Reject(self._row, f"line {self._line}", reason)
        nothing = pa.RecordBatch.from_pylist([], self._dialect.schema)
        piece = Piece(batch=nothing, first_row=self._row, rows=1, rejects=(reject,), numbers=pa.array([], pa.int64()))
        self._row += 1
        self._line += line.count(b"\n")
        return piece


_TOO_LONG = f"is longer than {MAX_ROW_BYTES:,} bytes"
_UNCLOSED = "has a quote that is not closed"


def read_exactly(file: OpenFile, size: int) -> bytes:
    """Return the next bytes of a file, fewer only at its end."""
    chunks = []
    while size and (chunk := file.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _first_line(row: bytes) -> bytes:
    end = row.find(b"\n")
    return row if end < 0 else row[: end + 1]
