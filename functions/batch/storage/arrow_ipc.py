"""Arrow IPC, the stream and the file format, message by message, so that no message is read before its size is known.

A file is a stream between two magic numbers, with a footer that reading in order does not need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from functions.batch.errors import InvalidDataset
from functions.batch.sizes import decoded_bytes, pieces
from functions.batch.storage.damage import DAMAGED, damaged
from functions.batch.storage.messages import DICTIONARY, RECORD_BATCH, SCHEMA, InvalidMessage, Message, parse
from functions.batch.storage.parquet import PIECE_BYTES
from functions.batch.storage.pieces import Piece
from functions.batch.storage.stores import OpenFile

_MAGIC = b"ARROW1"
_MAGIC_BYTES = 8
_CONTINUATION = b"\xff\xff\xff\xff"
_END = _CONTINUATION + bytes(4)
_MAX_METADATA_BYTES = 16 * 2**20
_UNCOMPRESSED = -1
_LENGTH_BYTES = 8


class _Frame(NamedTuple):
    """A message with its bytes as in the file, without the body, which begins at `body`."""

    message: Message
    head: bytes
    body: int


class ArrowReader:
    """A reader of an open Arrow file or stream; a message may take a quarter of the memory. Raises InvalidDataset."""

    rows: int | None = None

    def __init__(self, file: OpenFile, name: str, size: int, *, memory_bytes: int) -> None:
        self._file, self._name, self._size = file, name, size
        self._most = memory_bytes // 4
        self._dictionaries: list[bytes] = []
        try:
            file.seek(0)
            self._start = _MAGIC_BYTES if file.read(len(_MAGIC)) == _MAGIC else 0
            first = self._frame(self._start)
            if first is None or first.message.kind != SCHEMA:
                raise InvalidMessage("it does not begin with a schema")
            self._schema_message = self._bytes(first)
            self._first = first.body + first.message.body_length
            self.schema: pa.Schema = pa.ipc.open_stream(pa.BufferReader(self._schema_message + _END)).schema
        except DAMAGED as error:
            raise damaged(name, error, "is not an Arrow file") from None

    def pieces(self, columns: Sequence[str], first_row: int = 0) -> Iterator[Piece]:
        """Yield pieces of bounded bytes; batches before `first_row` are not read."""
        try:
            start = 0
            for frame in self._frames():
                rows = frame.message.rows
                if start + rows > first_row:
                    batch = self._batch(frame).select(columns)
                    first = start
                    for part in pieces(batch, decoded_bytes, PIECE_BYTES):
                        yield Piece(batch=part, first_row=first, rows=part.num_rows)
                        first += part.num_rows
                start += rows
        except InvalidDataset:
            raise
        except DAMAGED as error:
            raise damaged(self._name, error) from None

    def count(self) -> int:
        """Return the rows by the heads of all messages."""
        try:
            return sum(frame.message.rows for frame in self._frames())
        except InvalidMessage as error:
            raise damaged(self._name, error) from None

    def _frames(self) -> Iterator[_Frame]:
        """Yield the record batches, and keep the dictionaries before each."""
        self._dictionaries = []
        position = self._first
        while (frame := self._frame(position)) is not None:
            if frame.message.kind == DICTIONARY:
                self._dictionaries.append(self._bytes(frame))
                self._check(sum(map(len, self._dictionaries)), "the dictionaries")
            elif frame.message.kind == RECORD_BATCH:
                yield frame
            position = frame.body + frame.message.body_length

    def _frame(self, position: int) -> _Frame | None:
        """Return the message at a position, None at the end of the stream. Raises InvalidMessage."""
        self._file.seek(position)
        head = self._file.read(8)
        if head == b"" or head[:8] == _END:
            return None
        # Before Arrow 0.15 a message had no continuation.
        prefix = head[:4] if head[:4] == _CONTINUATION else b""
        length = int.from_bytes(head[4:8] if prefix else head[:4], "little")
        if not prefix and length == 0:
            return None
        start = position + len(prefix) + 4
        if len(head) < 8 or not 0 < length <= _MAX_METADATA_BYTES or start + length > self._size:
            raise InvalidMessage("it is truncated")
        self._file.seek(start)
        metadata = bytes(self._file.read(length))
        message = parse(metadata)
        if start + length + message.body_length > self._size:
            raise InvalidMessage("it is truncated")
        self._check(message.body_length, "a record batch")
        return _Frame(message, prefix + length.to_bytes(4, "little") + metadata, start + length)

    def _bytes(self, frame: _Frame) -> bytes:
        """Return a message with its body, whose decompressed size is within the limit."""
        self._file.seek(frame.body)
        body = bytes(self._file.read(frame.message.body_length))
        if frame.message.compressed:
            self._check(sum(_decompressed(body, *span) for span in frame.message.buffers), "a record batch")
        return frame.head + body

    def _batch(self, frame: _Frame) -> pa.RecordBatch:
        content = b"".join([self._schema_message, *self._dictionaries, self._bytes(frame), _END])
        batch = pa.ipc.open_stream(pa.BufferReader(content)).read_next_batch()
        # Offsets and indices are not checked before.
        batch.validate(full=True)
        return batch

    def _check(self, size: int, what: str) -> None:
        if size > self._most:
            raise InvalidDataset(
                f"{what} of {self._name} has {size:,} bytes, more than {self._most:,}",
                remedy="write the file again with smaller record batches, or allow more memory",
            )


def _decompressed(body: bytes, offset: int, length: int) -> int:
    """Return the size of a compressed buffer by its prefix."""
    if length < _LENGTH_BYTES:
        return length
    size = int.from_bytes(body[offset : offset + _LENGTH_BYTES], "little", signed=True)
    return length if size == _UNCOMPRESSED else max(0, size)
