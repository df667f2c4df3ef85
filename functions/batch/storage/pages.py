"""The sizes of the pages of a Parquet column, by their headers, which PyArrow does not show.

A page is decompressed in one piece. Its header is a struct in Thrift's compact protocol, and has no lists:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from functions.batch.storage.stores import OpenFile

# Headers have tens of bytes, or more with statistics of long strings.
_READ_BYTES = (2**10, 2**16, 2**24)
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)
# Structs in structs: the header of a data page, and its statistics.
_MAX_DEPTH = 4
_MAX_VARINT_BITS = 63


class InvalidPage(ValueError):
    """The header of a page cannot be read."""


class PageHeader(NamedTuple):
    """The bytes of a page: of its header, and of its content, decompressed and as in the file."""

    length: int
    decompressed: int
    compressed: int


def page_headers(file: OpenFile, start: int, size: int) -> Iterator[PageHeader]:
    """Yield the headers of the pages in a part of a file. Raises InvalidPage."""
    position, end = start, start + size
    while position < end:
        header = _header_at(file, position, end)
        yield header
        position += header.length + header.compressed


def parse(content: bytes) -> PageHeader:
    """Parse the header that a text begins with. Raises InvalidPage, and IndexError where it is truncated."""
    fields, length = _struct(content, 0, _MAX_DEPTH)
    decompressed, compressed = fields.get(2, -1), fields.get(3, -1)
    if decompressed < 0 or compressed < 0:
        raise InvalidPage("a page has no size")
    return PageHeader(length, decompressed, compressed)


def _header_at(file: OpenFile, position: int, end: int) -> PageHeader:
    for size in _READ_BYTES:
        file.seek(position)
        content = bytes(file.read(min(size, end - position)))
        try:
            return parse(content)
        except IndexError:
            if len(content) == end - position:
                break
    raise InvalidPage("the header of a page is truncated")


def _struct(content: bytes, position: int, depth: int) -> tuple[dict[int, int], int]:
    """Return the integers of a struct by the numbers of their fields, and the position after it."""
    if not depth:
        raise InvalidPage("a page has a damaged header")
    found: dict[int, int] = {}
    field = 0
    while content[position] != _STOP:
        delta, kind = content[position] >> 4, content[position] & 15
        position += 1
        if delta:
            field += delta
        else:
            field, position = _integer(content, position)
        if kind in _INTEGERS:
            found[field], position = _integer(content, position)
        else:
            position = _skipped(content, position, kind, depth)
    return found, position + 1


def _skipped(content: bytes, position: int, kind: int, depth: int) -> int:
    """Return the position after a value."""
    if kind in (_TRUE, _FALSE):
        return position
    if kind == _STRUCT:
        return _struct(content, position, depth - 1)[1]
    if kind == _BINARY:
        length, position = _varint(content, position)
        return position + length
    if kind in (_BYTE, _DOUBLE):
        return position + (1 if kind == _BYTE else 8)
    raise InvalidPage("a page has a damaged header")


def _integer(content: bytes, position: int) -> tuple[int, int]:
    value, position = _varint(content, position)
    return (value >> 1) ^ -(value & 1), position


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS + 1, 7):
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise InvalidPage("a page has a damaged header")
