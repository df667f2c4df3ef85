"""The parts of a dataset: fixed spans of its files, so that the output does not depend on requests and restarts.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# Rows of a part. It belongs to the format of the output, as its files and its digest depend on it.
PART_ROWS = 65_536


@dataclass(frozen=True, slots=True, order=True)
class PartId:
    """A part: the number of its file in the manifest, and the number of its span in the file, both from 0."""

    file: int
    span: int

    @property
    def name(self) -> str:
        """The name of the part's files, without an extension."""
        return f"part-{self.file:05d}-{self.span:05d}"

    @property
    def first_row(self) -> int:
        """The part's first row in its file."""
        return self.span * PART_ROWS


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive parts of one file that one pass reads; up to the end of the file where `spans` is None."""

    file: int
    first_span: int
    spans: int | None

    @property
    def first_row(self) -> int:
        """The first row to read."""
        return self.first_span * PART_ROWS

    @property
    def rows(self) -> int | None:
        """The number of rows to read at most, None for all."""
        return None if self.spans is None else self.spans * PART_ROWS


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several processes that score a dataset together."""

    index: int = 0
    count: int = 1


def span_count(rows: int) -> int:
    """Return the number of parts of a file; an empty file has one, so that its output has a schema."""
    return max(1, -(-rows // PART_ROWS))


def stretches(rows: Sequence[int | None], finished: Mapping[int, set[int]], shard: Shard = Shard()) -> Iterator[Stretch]:
    """Yield what remains to be read by a shard, in order, with the fewest passes.

    `rows` are those of each file, None where they are not known before the end; `finished` are the finished spans by
    file. Shards get contiguous parts of what is known. A file of unknown length belongs to one shard.
    """
    known = [PartId(file, span) for file, count in enumerate(rows) if count is not None for span in range(span_count(count))]
    begin, end = (shard.index * len(known) // shard.count, (shard.index + 1) * len(known) // shard.count)
    own = set(known[begin:end])
    for file, count in enumerate(rows):
        done = finished.get(file, set())
        if count is not None:
            yield from _runs(file, [span for span in range(span_count(count)) if PartId(file, span) in own and span not in done])
        elif file % shard.count == shard.index:
            yield from _open_runs(file, done)


def _runs(file: int, spans: Sequence[int]) -> Iterator[Stretch]:
    begin = 0
    for position in range(1, len(spans) + 1):
        if position == len(spans) or spans[position] != spans[position - 1] + 1:
            yield Stretch(file, spans[begin], position - begin)
            begin = position


def _open_runs(file: int, done: set[int]) -> Iterator[Stretch]:
    """The gaps between finished spans, and everything after the last of them."""
    most = max(done, default=-1)
    yield from _runs(file, [span for span in range(most) if span not in done])
    yield Stretch(file, most + 1, None)
