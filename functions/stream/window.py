"""The unfinished records of a partition, in order, and the finished ones between them. No I/O.

Each operation takes the same time, however many records are unfinished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar


class Span(NamedTuple):
    """Offsets from `start` up to, and without, `stop`."""

    start: int
    stop: int


class Entry:
    """An unfinished record."""

    __slots__ = ("finished_follow", "following", "offset", "preceding")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.preceding: Entry | None = None
        self.following: Entry | None = None
        self.finished_follow = False
        """Whether finished records lie between it and the following entry."""


EntryType = TypeVar("EntryType", bound=Entry)


class Window(Generic[EntryType]):
    """What was read of a partition from its first unfinished record on."""

    def __init__(self, position: int, finished: Iterable[Span] = ()) -> None:
        """Begin at a position; `finished` are offsets beyond it that are not to be processed again, in order."""
        self._end = position
        self._known = deque(finished)
        self._first: EntryType | None = None
        self._last: EntryType | None = None
        self._count = 0
        self._gaps = 0

    def __len__(self) -> int:
        """Return how many records are unfinished."""
        return self._count

    def __iter__(self) -> Iterator[EntryType]:
        entry = self._first
        while entry is not None:
            yield entry
            entry = entry.following  # type: ignore[assignment]  # all entries of a window are of one type

    @property
    def position(self) -> int:
        """The offset before which every record is finished."""
        return self._end if self._first is None else self._first.offset

    @property
    def gaps(self) -> int:
        """How many runs of finished records lie beyond the position, of those that were read."""
        return self._gaps

    def is_finished(self, offset: int) -> bool:
        """Return whether the next record to be read is finished already."""
        while self._known and self._known[0].stop <= offset:
            self._known.popleft()
        return bool(self._known) and self._known[0].start <= offset

    def append(self, entry: EntryType) -> None:
        """Append the next record that was read."""
        self._end = entry.offset + 1
        self._count += 1
        before, self._last = self._last, entry
        entry.preceding = before
        if before is None:
            self._first = entry
        else:
            before.following = entry

    def pass_over(self, offset: int) -> None:
        """Note that the next record that was read is finished."""
        self._end = offset + 1
        self._note_finished_after(self._last)

    def finish(self, entry: EntryType) -> None:
        before, after = entry.preceding, entry.following
        if before is None:
            self._first = after  # type: ignore[assignment]
        else:
            before.following = after
        if after is None:
            self._last = before  # type: ignore[assignment]
        else:
            after.preceding = before
        self._gaps -= entry.finished_follow
        self._note_finished_after(before)
        self._count -= 1

    def finished(self) -> Iterator[Span]:
        """Yield the offsets beyond the position that are finished, in order."""
        if self._gaps:
            for entry in self:
                if entry.finished_follow:
                    yield Span(entry.offset + 1, self._end if entry.following is None else entry.following.offset)
        yield from (Span(max(span.start, self._end), span.stop) for span in self._known if span.stop > self._end)

    def _note_finished_after(self, entry: Entry | None) -> None:
        if entry is not None and not entry.finished_follow:
            entry.finished_follow = True
            self._gaps += 1
