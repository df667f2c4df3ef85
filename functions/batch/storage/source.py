"""A dataset that is read: its files, its columns, and its rows in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from functions.batch.cells import is_text
from functions.batch.errors import InvalidDataset
from functions.batch.storage import formats, globs, locations
from functions.batch.storage.formats import Format
from functions.batch.storage.listing import files_at
from functions.batch.storage.pieces import Piece, SourceFile
from functions.batch.storage.policy import Policy
from functions.batch.storage.readers import OpenedFile, Reading
from functions.batch.storage.stores import Found, Store, store_of

if TYPE_CHECKING:
    from functions.batch.storage.filters import Filter

DEFAULT_MEMORY_BYTES = 256 * 2**20
# Files of an object store whose metadata are read at the same time.
_CONCURRENT = 16
_NO_TYPES: Mapping[str, pa.DataType] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the dataset, and how it is read."""

    found: Found
    kind: Format
    schema: pa.Schema
    version: str
    rows: int | None


class Source:
    """A dataset: a file, a folder or the files that match a pattern, of one format.

    `schema` has the columns that are read, those of Hive partitions included. The batches of a piece may have
    dictionaries where the schema has strings: decoded for each row, a kilobyte of file could take gigabytes.
    """

    def __init__(
        self, files: Sequence[_File], store: Store, reading: Reading, columns: Sequence[str] | None, chosen: Filter | None
    ) -> None:
        self._files = {file.found.name: file for file in files}
        self._store = store
        self._filter = chosen
        self._partitions = globs.partition_types([file.found.name for file in files])
        self._all = _with_partitions(files[0].schema, self._partitions)
        self._reading = replace(reading, schema=files[0].schema)
        self.schema = _selected(self._all, columns, str(files[0].found.location))
        if chosen:
            _selected(self._all, sorted(chosen.columns), str(files[0].found.location))
        self.files = tuple(
            SourceFile(name=file.found.name, location=file.found.location.uri, size=file.found.size, version=file.version, rows=file.rows)
            for file in files
        )

    def batches(self, file: SourceFile, first_row: int = 0, rows: int | None = None) -> Iterator[Piece]:
        """Yield the rows of a file from `first_row` (from 0) in pieces of bounded bytes.

        Blocks: it is called in a thread. Raises InvalidPath and InvalidDataset.
        """
        for pieces in self.stretches(file, [(first_row, rows)]):
            yield from pieces

    def stretches(self, file: SourceFile, wanted: Iterable[tuple[int, int | None]]) -> Iterator[Iterator[Piece]]:
        """Yield what `batches` does for several first rows and numbers of rows, each to be read before the next.

        The file is opened and checked once where its format has rows that can be found again, as text has not.
        """
        entry = self._files[file.name]
        with ExitStack() as stack:
            opened = None
            for first_row, rows in wanted:
                if opened is None or entry.rows is None:
                    stack.close()
                    opened = stack.enter_context(closing(OpenedFile(entry.found, entry.kind, self._store, self._reading)))
                yield self._pieces(entry, opened, first_row, rows)

    def _pieces(self, entry: _File, opened: OpenedFile, first_row: int, rows: int | None) -> Iterator[Piece]:
        own = set(entry.schema.names)
        needed = [name for name in self._all.names if name in {*self.schema.names, *(self._filter.columns if self._filter else ())}]
        # Without a column of the file there would be no rows to count.
        read = [name for name in needed if name in own] or entry.schema.names[:1]
        end = None if rows is None else first_row + rows
        for piece in opened.reader.pieces(read, first_row):
            if end is not None and piece.first_row >= end:
                return
            part = piece.rows_from(first_row, end)
            if part is not None:
                yield self._chosen(part, entry.found.name)

    def _chosen(self, piece: Piece, name: str) -> Piece:
        """Return a piece with the columns of partitions, without the rows and columns that were not asked for."""
        batch = self._with_partitions(piece.batch, name)
        if self._filter:
            mask = self._filter.mask(batch)
            numbers = piece.row_numbers().filter(mask)
            batch = batch.filter(mask)
            piece = replace(piece, numbers=numbers)
        columns = [_cast(batch.column(field.name), field) for field in self.schema]
        fields = [field.with_type(column.type) for field, column in zip(self.schema, columns, strict=True)]
        chosen = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=self.schema.metadata))
        return replace(piece, batch=chosen)

    def _with_partitions(self, batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
        values = globs.partition_of(name)
        for column, type_ in self._partitions.items():
            if column not in batch.schema.names:
                value = values.get(column)
                batch = batch.append_column(column, _constant(value, type_, batch.num_rows))
        return batch


Listing = tuple[list[Found], Store]
"""The files of a dataset, and where they are."""


def find_source(location: str, *, format: str | None = None, policy: Policy) -> Listing:  # noqa: A002
    """List the files of a dataset without opening them. Raises InvalidPath and InvalidDataset."""
    place = locations.parse(location)
    store = store_of(place, policy)
    found, _ = files_at(place, store, policy, formats.named(format) if format else None)
    return found, store


def open_source(
    location: str,
    *,
    format: str | None = None,  # noqa: A002 the name in requests
    columns: Sequence[str] | None = None,
    filter: str | None = None,  # noqa: A002
    types: Mapping[str, pa.DataType] = _NO_TYPES,
    policy: Policy,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    listing: Listing | None = None,
) -> Source:
    """Open a dataset: list its files, unless `find_source` has done so, and read the metadata of each.

    `types` are the types of columns in formats that have none; those of other columns follow from the first rows.
    Raises InvalidPath for the location, InvalidDataset for the content, and InvalidRequest for the filter.
    """
    chosen: Filter | None = None
    if filter:
        from functions.batch.storage import filters  # it imports pandas, which takes seconds

        chosen = filters.parse(filter)
    found, store = listing or find_source(location, format=format, policy=policy)
    kinds = [formats.required(file.name, format) for file in found]
    reading = Reading(memory_bytes=memory_bytes, types=types)
    first = _opened(found[0], kinds[0], store, reading)
    reading = replace(reading, schema=first.schema)
    with ThreadPoolExecutor(1 if locations.parse(location).is_local else _CONCURRENT) as pool:
        rest = list(pool.map(lambda file, kind: _opened(file, kind, store, reading), found[1:], kinds[1:]))
    for file in rest:
        _check_same(file, first)
    return Source([first, *rest], store, reading, columns, chosen)


def _opened(found: Found, kind: Format, store: Store, reading: Reading) -> _File:
    with closing(OpenedFile(found, kind, store, reading, versioned=True)) as opened:
        schema = opened.reader.schema
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise InvalidDataset(f"{found.location} has the column {twice[0]} more than once", remedy="rename one")
        return _File(found, kind, schema, opened.version, opened.reader.rows)


def _check_same(file: _File, first: _File) -> None:
    """Check that a file has the columns of the first one, of types that can be converted. Raises InvalidDataset."""
    for field in first.schema:
        index = file.schema.get_field_index(field.name)
        if index < 0:
            raise InvalidDataset(
                f"{file.found.location} lacks the column {field.name}, which {first.found.name} has", remedy="add it, or leave the file out"
            )
        found = file.schema.field(index).type
        if _kind(found) != _kind(field.type):
            raise InvalidDataset(
                f"the column {field.name} of {file.found.location} is {found}, but {field.type} in {first.found.name}",
                remedy="convert it, or leave the file out",
            )


def _kind(found: pa.DataType) -> str:
    """Return a name that is equal for types whose values are converted into each other."""
    plain = found.value_type if pa.types.is_dictionary(found) else found
    if is_text(plain):
        return "text"
    if pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or pa.types.is_binary_view(plain):
        return "binary"
    return "number" if pa.types.is_integer(plain) or pa.types.is_floating(plain) else str(plain)


def _with_partitions(schema: pa.Schema, partitions: Mapping[str, pa.DataType]) -> pa.Schema:
    """Append the columns of partitions; a column of the file with the same name is left."""
    for name, type_ in partitions.items():
        if name not in schema.names:
            schema = schema.append(pa.field(name, type_))
    return schema


def _selected(schema: pa.Schema, columns: Sequence[str] | None, location: str) -> pa.Schema:
    if columns is None:
        return schema
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise InvalidDataset(f"{location} lacks the column {missing[0]}", remedy=f"choose from {', '.join(schema.names[:50])}")
    return pa.schema([schema.field(name) for name in columns])


def _constant(value: str | None, type_: pa.DataType, rows: int) -> pa.Array:
    typed = int(value) if value is not None and pa.types.is_integer(type_) else value
    return pa.repeat(pa.scalar(typed, type_), rows)


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    """Cast a column to the type of the first file, except from dictionaries to strings. Raises InvalidDataset."""
    found = column.type.value_type if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type) else column.type
    if found == field.type or (found != column.type and _kind(found) == _kind(field.type)):
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise InvalidDataset(f"the column {field.name} cannot be converted to {field.type} ({reason})", remedy="convert the file") from None
