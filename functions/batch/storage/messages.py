"""The metadata of messages of Arrow IPC: what is in a message, and how large it is. A pure function.

PyArrow reads a message's body in one call and does not limit its size.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SCHEMA, DICTIONARY, RECORD_BATCH = 1, 2, 3

# Fields of the tables Message, DictionaryBatch and RecordBatch in Message.fbs, by number.
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_DATA = 1
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3
_BUFFER_BYTES = 16


class InvalidMessage(ValueError):
    """A message is truncated or damaged; the text is the reason."""


class Message(NamedTuple):
    """The metadata of a message; `buffers` are the offsets and lengths of the buffers of its body."""

    kind: int
    body_length: int
    rows: int = 0
    compressed: bool = False
    buffers: tuple[tuple[int, int], ...] = ()


def parse(metadata: bytes) -> Message:
    """Parse the flatbuffer of a message. Raises InvalidMessage."""
    try:
        return _message(metadata)
    except struct.error:
        raise InvalidMessage("the metadata of a message is damaged") from None


def _message(data: bytes) -> Message:
    root = _indirect(data, 0)
    kind = _scalar(data, root, _HEADER_TYPE, "<B")
    body = _scalar(data, root, _BODY_LENGTH, "<q")
    header = _table(data, root, _HEADER)
    if body < 0 or header is None:
        raise InvalidMessage("the metadata of a message is damaged")
    if kind == DICTIONARY:
        header = _table(data, header, _DATA)
    if kind not in (DICTIONARY, RECORD_BATCH) or header is None:
        return Message(kind, body)
    rows = _scalar(data, header, _LENGTH, "<q")
    buffers = _spans(data, header)
    if rows < 0 or any(offset < 0 or length < 0 or offset + length > body for offset, length in buffers):
        raise InvalidMessage("the metadata of a message is damaged")
    return Message(kind, body, rows, _field(data, header, _COMPRESSION) is not None, buffers)


def _spans(data: bytes, table: int) -> tuple[tuple[int, int], ...]:
    at = _table(data, table, _BUFFERS)
    if at is None:
        return ()
    (count,) = struct.unpack_from("<I", data, at)
    if at + 4 + count * _BUFFER_BYTES > len(data):
        raise InvalidMessage("the metadata of a message is damaged")
    return tuple(struct.unpack_from("<qq", data, at + 4 + number * _BUFFER_BYTES) for number in range(count))


def _indirect(data: bytes, at: int) -> int:
    (offset,) = struct.unpack_from("<I", data, at)
    return at + int(offset)


def _field(data: bytes, table: int, number: int) -> int | None:
    """Return the position of a field of a table, None when it has its default."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    if vtable < 0:
        raise InvalidMessage("the metadata of a message is damaged")
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, vtable + entry)
    return table + int(offset) if offset else None


def _scalar(data: bytes, table: int, number: int, form: str) -> int:
    at = _field(data, table, number)
    return 0 if at is None else int(struct.unpack_from(form, data, at)[0])


def _table(data: bytes, table: int, number: int) -> int | None:
    at = _field(data, table, number)
    return None if at is None else _indirect(data, at)
