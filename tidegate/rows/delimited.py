"""CSV: cells of text, converted by the inputs of the model if they are known, else by their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import TidegateError
from tidegate.contract import Contract
from tidegate.rows import numbers
from tidegate.rows.dialects import dialect_of
from tidegate.rows.row import Reading, Row, UnreadableFile, check_unique

# A number with a decimal comma.
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9.]*,[0-9]+")


class WrongCell(TidegateError):
    """A cell does not have the datatype of its column's input."""


def read(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a file. Ids and keys stay as their text; an empty cell is a missing value."""
    dialect = dialect_of(path, reading.encoding, reading.delimiter)
    records = dialect.records(path)
    first, header = next(records, (1, []))
    header = [name.strip("\ufeff") if index == 0 else name for index, name in enumerate(header)]
    _check_header(header, first, path, reading.contract)
    cells = _Cells(header, reading)
    for line, texts in records:
        if len(texts) != len(header):
            raise UnreadableFile(f"line {line} of {path} has {len(texts)} cells, but the header {len(header)}", remedy="fix the line")
        try:
            yield cells.row(line, texts)
        except WrongCell as error:
            raise UnreadableFile(f"line {line} of {path}: {error.message}", remedy=error.remedy) from None


class _Cells:
    """Conversion of the cells of a line, by the columns of the header."""

    def __init__(self, header: list[str], reading: Reading) -> None:
        self._contract = reading.contract
        self._datatypes = reading.contract.inputs if reading.contract else {}
        self._id = _position(reading.id_column, header)
        self._key = _position(reading.key_column, header)
        kept = ((index, name) for index, name in enumerate(header) if index != self._id)
        self._columns = [(index, name, self._reader(index, name)) for index, name in kept]

    def row(self, line: int, texts: list[str]) -> Row:
        """The row of a line. Raises WrongCell, which names the column."""
        data: dict[str, Any] = {}
        for index, name, read_cell in self._columns:
            text = texts[index]
            if text == "":
                continue
            try:
                value = read_cell(text)
            except numbers.NotOfType as error:
                raise self._wrong_cell(name, text, error) from None
            if value is not None:
                data[name] = value
        return Row(f"line {line}", data, self._text(self._id, texts), self._text(self._key, texts))

    @staticmethod
    def _text(index: int | None, texts: list[str]) -> str | None:
        return None if index is None else texts[index] or None

    def _reader(self, index: int, name: str) -> numbers.Read:
        if name in self._datatypes:
            return numbers.reader_of(self._datatypes[name])
        return str if index == self._key else numbers.by_form

    def _wrong_cell(self, name: str, text: str, error: numbers.NotOfType) -> WrongCell:
        remedy = "write decimals with a point" if _DECIMAL_COMMA.fullmatch(text) else "fix the cell, or leave it empty"
        model = self._contract.model if self._contract else "the model"
        datatype = self._datatypes[name]
        return WrongCell(f"the column {name} has {text[:40]!r}, but {model} takes {error} ({datatype})", remedy=remedy)


def _position(name: str | None, header: list[str]) -> int | None:
    return header.index(name) if name in header else None


def _check_header(header: list[str], line: int, path: Path, contract: Contract | None) -> None:
    if not header:
        raise UnreadableFile(f"{path} is empty", remedy="name the columns in its first line")
    check_unique(header, path)
    missing = [name for name in contract.required if name not in header] if contract else []
    if contract and missing:
        raise UnreadableFile(
            f"line {line} of {path} has no column {', '.join(missing)[:300]}, which {contract.model} needs;"
            f" its columns are {', '.join(header)[:300]}."
        )
