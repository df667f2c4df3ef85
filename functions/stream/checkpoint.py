"""What a commit holds in addition to its offset: the text of its metadata.

A checkpoint shows the next owner of a partition what is finished beyond the committed offset: the offsets that were
finished at the time of the commit, and, for each topic that is written to, a position after which the outputs of all
other records are. So little of the outputs has to be read, however long a record is retried.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from functions.stream.window import Span

# Brokers accept 4,096 bytes (offset.metadata.max.bytes).
MOST_BYTES = 4000
# So many runs of finished offsets take less than that, and so do those that a batch of results may add.
MOST_GAPS = 1000
# No topic has an empty name.
_FINISHED = ""


@dataclass(frozen=True, slots=True)
class Position:
    """An offset in a partition of a known topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is finished beyond a commit, and positions by topic (output and dead letters).

    No output before such a position belongs to another record beyond the commit.
    """

    positions: dict[str, Position]
    finished: tuple[Span, ...] = field(default=())

    def since(self, offset: int) -> Checkpoint:
        """Return what it holds from a later offset on."""
        return Checkpoint(self.positions, tuple(Span(max(span.start, offset), span.stop) for span in self.finished if span.stop > offset))

    def to_text(self, offset: int) -> str:
        """Return the metadata of a commit of this offset."""
        parts: dict[str, object] = {topic: [found.partition, found.offset] for topic, found in self.positions.items()}
        if self.finished:
            parts[_FINISHED] = base64.b85encode(zlib.compress(bytes(_encode(self.finished, offset)), 9)).decode()
        return orjson.dumps(parts).decode()

    @classmethod
    def from_text(cls, text: str, offset: int) -> Checkpoint | None:
        """Parse the metadata of a commit of this offset.

        None if no worker wrote it, as after a reset by hand: then all is scored again.
        """
        try:
            parts = orjson.loads(text)
            packed = parts.pop(_FINISHED, None) if isinstance(parts, dict) else None
            finished = () if packed is None else tuple(_decode(_unpacked(packed), offset))
            return cls({str(topic): Position(int(partition), int(place)) for topic, (partition, place) in parts.items()}, finished)
        except (ValueError, TypeError, AttributeError, IndexError, zlib.error):
            return None


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans in order, those that touch or overlap as one."""
    last: Span | None = None
    for span in sorted(spans):
        if last is not None and span.start <= last.stop:
            last = Span(last.start, max(last.stop, span.stop))
        else:
            if last is not None:
                yield last
            last = span
    if last is not None:
        yield last


def _unpacked(text: str) -> bytes:
    decompressor = zlib.decompressobj()
    # Anyone with access to the group can commit a text: it may not fill the memory.
    data = decompressor.decompress(base64.b85decode(text), 16 * MOST_BYTES)
    if not decompressor.eof:
        raise ValueError("the finished offsets are incomplete.")
    return data


def _encode(spans: Iterable[Span], offset: int) -> Iterator[int]:
    """Yield the bytes of the distances between the ends of the spans, as variable-length integers (LEB128)."""
    for span in spans:
        for distance in (span.start - offset, span.stop - span.start):
            yield from _varint(distance)
        offset = span.stop


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _decode(data: bytes, offset: int) -> Iterator[Span]:
    numbers = _numbers(data)
    for distance in numbers:
        start = offset + distance
        offset = start + next(numbers, 0)
        if offset <= start:
            raise ValueError("a span is empty.")
        yield Span(start, offset)


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
