"""JSON Lines: one JSON object a line; types are given or inferred from the first rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.json as pajson
from pyarrow import types

from functions.batch.errors import InvalidDataset
from functions.batch.sizes import fixed_bytes
from functions.batch.storage import text
from functions.batch.storage.inference import carried_type
from functions.batch.storage.pieces import Piece
from functions.batch.storage.stores import OpenFile
from functions.batch.storage.text import BadRows, TextReader

_BOM = b"\xef\xbb\xbf"
# The end of an object and the start of another in one line: PyArrow would read both, and count two rows.
_TWO = re.compile(rb"\}[ \t\r]*\{")
_AT = re.compile(r"^JSON parse error: | in row \d+$")
_BLANK = b" \t\r\n"


class JsonLinesReader:
    """A reader of a file of JSON Lines."""

    rows: int | None = None

    def __init__(self, file: OpenFile, name: str, *, schema: pa.Schema | None, types: Mapping[str, pa.DataType]) -> None:
        self._file = file
        self._start = text.read_exactly(file, text.BLOCK_BYTES).removeprefix(_BOM)
        self.schema: pa.Schema = _inferred(self._start, types, name) if schema is None else schema

    def pieces(self, columns: Sequence[str], first_row: int = 0) -> Iterator[Piece]:
        """Yield all rows with some of the columns; a field that a row lacks is null."""
        yield from TextReader(self._file, _Json(self.schema, columns)).pieces(self._start)


class _Json:
    """The syntax of JSON Lines, and PyArrow's parser of it."""

    def __init__(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        self.schema = pa.schema([schema.field(name) for name in columns])
        self.row_bytes = max(1, sum(fixed_bytes(field.type) for field in self.schema))
        self._options = pajson.ParseOptions(explicit_schema=self.schema, unexpected_field_behavior="ignore")

    def complete(self, text: bytes, final: bool) -> int:
        return len(text) if final else text.rfind(b"\n") + 1

    def rows(self, text: bytes, start: int) -> Iterator[bytes]:
        while start < len(text):
            end = text.find(b"\n", start) + 1 or len(text)
            yield text[start:end]
            start = end

    def is_blank(self, row: bytes) -> bool:
        return not row.strip(_BLANK)

    def is_complete(self, text: bytes) -> bool:
        return True

    def is_ambiguous(self, text: bytes) -> bool:
        return _TWO.search(text) is not None

    def parse(self, text: bytes) -> pa.RecordBatch:
        if not text.strip(_BLANK):
            return pa.RecordBatch.from_pylist([], self.schema)
        try:
            table = _read(text, self._options)
            batch = table.select(self.schema.names).combine_chunks().to_batches()
            # Strings are not checked for UTF-8 by the parser.
            found = batch[0] if batch else pa.RecordBatch.from_pylist([], self.schema)
            found.validate(full=True)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise BadRows(_reason(error)) from None
        return found


def _read(content: bytes, options: pajson.ParseOptions) -> pa.Table:
    return pajson.read_json(
        pa.BufferReader(content), read_options=pajson.ReadOptions(block_size=2 * text.MAX_ROW_BYTES), parse_options=options
    )


def _inferred(start: bytes, given: Mapping[str, pa.DataType], name: str) -> pa.Schema:
    """Return the types of the fields by the first rows that are good."""
    complete = start[: start.rfind(b"\n") + 1] if len(start) >= text.BLOCK_BYTES else start
    found = _schema_of(complete) if complete.strip(_BLANK) else pa.schema([])
    if found is None:
        found = _schema_row_by_row(complete)
    if found is None:
        raise InvalidDataset(f"{name} has no JSON object in its first lines", remedy="write one JSON object a line")
    fields = {field.name: given.get(field.name, carried_type(field.type)) for field in found}
    # An empty file has the columns that were asked for.
    return pa.schema(list((fields or given).items()))


def _schema_of(content: bytes) -> pa.Schema | None:
    try:
        return _read(content, pajson.ParseOptions()).schema
    except (pa.ArrowException, UnicodeDecodeError):
        return None


def _schema_row_by_row(content: bytes) -> pa.Schema | None:
    """Return the types of the first good row of each name."""
    fields: dict[str, pa.DataType] = {}
    for line in content.splitlines()[:1_000]:
        found = _schema_of(line) if line.strip() else None
        for field in found or []:
            if types.is_null(fields.get(field.name, pa.null())) or (types.is_floating(field.type) and types.is_integer(fields[field.name])):
                fields[field.name] = field.type
    return pa.schema(list(fields.items())) if fields else None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return "is not UTF-8"
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return _AT.sub("", line).rstrip(".")[:200]
