"""CSV (RFC 4180): a header, then rows; types are given or inferred from the first rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from functions.batch.cells import is_text
from functions.batch.errors import InvalidDataset
from functions.batch.sizes import fixed_bytes
from functions.batch.storage import text
from functions.batch.storage.inference import carried_type
from functions.batch.storage.pieces import Piece
from functions.batch.storage.stores import OpenFile
from functions.batch.storage.text import BadRows, TextReader

MAX_COLUMNS = 10_000

# As PyArrow, a field may go on after its closing quote; not one of several lines, whose quote was never closed.
_FIELD = rb'(?:"(?:[^"\r\n]++|"")*+"[^,\r\n]*+|"(?:[^"]++|"")*+"(?=[,\r\n]|\Z)|[^",\r\n][^,\r\n]*+)?+'
_RECORD = _FIELD + rb"(?:," + _FIELD + rb")*+"
_END = rb"(?:\r\n?|\n)"
_ROW = re.compile(_RECORD + rb"(?:" + _END + rb"|(?<=[^\r\n])\Z)")
_ROWS = re.compile(rb"(?:" + _RECORD + _END + rb")*+")
_LAST_ROW = re.compile(_RECORD + rb"\Z")
_BOM = b"\xef\xbb\xbf"
# Texts without a number. In a column of strings only an empty field is null: NA is a country and a continent.
_NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-", "#N/A"]
_COLUMN = re.compile(r"In CSV column #(\d+): (?:CSV conversion error to (.*?): )?(.*)", re.DOTALL)
_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")


class CsvReader:
    """A reader of a CSV file. Raises InvalidDataset for a file without a header."""

    rows: int | None = None

    def __init__(self, file: OpenFile, name: str, *, schema: pa.Schema | None, types: Mapping[str, pa.DataType]) -> None:
        self._file = file
        self._rest, header, self._line = _header(file, name)
        _check_names(header, name)
        self.schema: pa.Schema = _inferred(header, self._rest, types, name) if schema is None else _ordered(header, schema, name)

    def pieces(self, columns: Sequence[str], first_row: int = 0) -> Iterator[Piece]:
        """Yield all rows with some of the columns."""
        dialect = _Csv(self.schema, columns)
        yield from TextReader(self._file, dialect, line=self._line).pieces(self._rest)


class _Csv:
    """The syntax of CSV, and PyArrow's parser of it."""

    def __init__(self, header: pa.Schema, columns: Sequence[str]) -> None:
        self.schema = pa.schema([header.field(name) for name in columns])
        self.row_bytes = max(1, sum(fixed_bytes(field.type) for field in self.schema))
        self._texts = [number for number, field in enumerate(self.schema) if is_text(field.type)]
        self._read = pacsv.ReadOptions(column_names=header.names, use_threads=True, block_size=2 * text.MAX_ROW_BYTES)
        self._convert = pacsv.ConvertOptions(
            column_types=header, include_columns=list(columns), null_values=_NULLS, strings_can_be_null=False
        )

    def complete(self, text: bytes, final: bool) -> int:
        if b'"' not in text:
            return len(text) if final else text.rfind(b"\n") + 1
        found = _ROWS.match(text)
        end = found.end() if found else 0
        return len(text) if final and _LAST_ROW.match(text, end) else end

    def rows(self, text: bytes, start: int) -> Iterator[bytes]:
        while start < len(text) and (found := _ROW.match(text, start)):
            yield found[0]
            start = found.end()

    def is_blank(self, row: bytes) -> bool:
        return not row.strip(b"\r\n")

    def is_complete(self, text: bytes) -> bool:
        # PyArrow takes a quote that is not closed at the end of its text as closed.
        start = text.rfind(b"\n", 0, len(text) - 1) + 1
        found = _ROW.match(text, start)
        return found is not None and found.end() == len(text)

    def is_ambiguous(self, text: bytes) -> bool:
        return b"\r" in text and text.count(b"\r") != text.count(b"\r\n")

    def parse(self, text: bytes) -> pa.RecordBatch:
        if not text.strip(b"\r\n"):
            return pa.RecordBatch.from_pylist([], self.schema)
        try:
            table = pacsv.read_csv(
                pa.BufferReader(text),
                read_options=self._read,
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=self._convert,
            )
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise BadRows(_reason(str(error), self._read.column_names)) from None
        batch = table.combine_chunks().to_batches()
        return self._with_nulls(batch[0]) if batch else pa.RecordBatch.from_pylist([], self.schema)

    def _with_nulls(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Replace empty strings by null."""
        for number in self._texts:
            column = batch.column(number)
            empty = pc.equal(pc.binary_length(column), 0)
            if pc.any(empty).as_py():
                batch = batch.set_column(number, self.schema.field(number), pc.if_else(empty, pa.scalar(None, column.type), column))
        return batch


def _header(file: OpenFile, name: str) -> tuple[bytes, list[str], int]:
    """Return the text after the header that was read, the names of the columns, and the line of the first row."""
    start = text.read_exactly(file, text.BLOCK_BYTES)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidDataset(f"{name} is UTF-16", remedy="write it again in UTF-8")
    start = start.removeprefix(_BOM)
    skipped = len(start) - len(start.lstrip(b"\r\n"))
    found = _ROW.match(start, skipped)
    if found is None or not found[0].strip():
        raise InvalidDataset(f"{name} has no header", remedy="write the names of the columns in its first line")
    try:
        names = next(csv.reader(io.StringIO(found[0].decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        raise InvalidDataset(f"the header of {name} cannot be read", remedy="write the file again as CSV in UTF-8") from None
    return start[found.end() :], names, start[: found.end()].count(b"\n") + 1


def _check_names(names: Sequence[str], name: str) -> None:
    if len(names) > MAX_COLUMNS:
        raise InvalidDataset(f"{name} has {len(names):,} columns, more than {MAX_COLUMNS:,}", remedy="write fewer columns")
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise InvalidDataset(f"{name} has the column {twice[0]} more than once", remedy="rename one")


def _inferred(header: list[str], start: bytes, given: Mapping[str, pa.DataType], name: str) -> pa.Schema:
    """Return the types of the columns by the first rows; bad rows are left out."""
    found = _ROWS.match(start)
    # PyArrow's handler of bad rows prints an exception for one that is not UTF-8.
    complete = (start[: found.end()] if found and found.end() else start).decode(errors="replace").encode()
    try:
        schema = pacsv.read_csv(
            pa.BufferReader(complete),
            read_options=pacsv.ReadOptions(column_names=header, block_size=2 * text.MAX_ROW_BYTES),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip"),
            convert_options=pacsv.ConvertOptions(null_values=_NULLS, strings_can_be_null=False),
        ).schema
    except pa.ArrowException:
        schema = pa.schema([(column, pa.string()) for column in header])
    return pa.schema([(field.name, given.get(field.name, carried_type(field.type))) for field in schema])


def _ordered(header: list[str], schema: pa.Schema, name: str) -> pa.Schema:
    """Return the dataset's types in the order of this file's columns; columns that others lack are strings."""
    missing = [column for column in schema.names if column not in header]
    if missing:
        raise InvalidDataset(f"{name} lacks the column {missing[0]}, which the first file has", remedy="add it, or leave the file out")
    return pa.schema([schema.field(column) if column in schema.names else pa.field(column, pa.string()) for column in header])


def _reason(message: str, names: Sequence[str]) -> str:
    """Return the reason of a bad row in the words of a person, from PyArrow's message."""
    count = _COUNT.search(message)
    if count:
        return f"has {count[2]} columns instead of {count[1]}"
    column = _COLUMN.search(message)
    if column:
        name = names[int(column[1])] if int(column[1]) < len(names) else column[1]
        return f"column {name}{f' ({column[2]})' if column[2] else ''}: {_first_line(column[3])}"
    return _first_line(message)


def _first_line(message: str) -> str:
    return (message.splitlines() or [""])[0].rstrip(".")[:200]
