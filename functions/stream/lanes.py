"""Lanes: the records of one key, whose results are written in the order of their offsets. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from functions.stream.window import Entry


class Queued(Entry):
    """A record in its lane, perhaps with a result."""

    __slots__ = ("attempts", "is_behind", "lane", "next_in_lane", "result", "taken", "waits")

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.result: Any = None
        self.attempts = 0
        """How often it was posted."""
        self.waits = False
        """Whether it may not be posted yet."""
        self.taken = False
        """Whether its result is given to be written."""
        self.lane: bytes | None = None
        self.is_behind = False
        """Whether a record before it in its lane is not taken."""
        self.next_in_lane: Any = None


QueuedType = TypeVar("QueuedType", bound=Queued)


class Turn(NamedTuple, Generic[QueuedType]):
    """What the results that have arrived allow."""

    written: list[QueuedType]
    """The records whose results are to be written now, in this order."""

    posted: list[QueuedType]
    """The records that waited for these, and are to be posted now."""


class Lanes(Generic[QueuedType]):
    """The unwritten records of each key. Records without a key are in no lane: nothing orders them."""

    def __init__(self) -> None:
        self._last: dict[bytes, QueuedType] = {}
        self.waiting = 0
        """How many records may not be posted yet."""

    def __len__(self) -> int:
        """Return how many keys have unwritten records."""
        return len(self._last)

    def join(self, queued: QueuedType, key: bytes | None) -> None:
        """Append a record to its lane.

        It waits, and is not to be posted, if the one before it was posted and cannot be written: that one, or one
        before it, is retried.
        """
        if key is None:
            return
        queued.lane = key
        before = self._last.get(key)
        self._last[key] = queued
        if before is not None:
            queued.is_behind, before.next_in_lane = True, queued
            queued.waits = before.waits or before.attempts > 0 or before.result is not None
            self.waiting += queued.waits

    def take(self, resolved: Iterable[QueuedType]) -> Turn[QueuedType]:
        """Return what is to be written and posted once these records have got their results; each record once."""
        turn: Turn[QueuedType] = Turn([], [])
        for queued in resolved:
            if not queued.is_behind and not queued.taken:
                self._take_from(queued, turn)
        return turn

    def take_one(self, queued: QueuedType, turn: Turn[QueuedType]) -> QueuedType | None:
        """Let the first record of its lane be written, and those be posted that waited for it; return the next one."""
        queued.taken = True
        turn.written.append(queued)
        after: QueuedType | None = queued.next_in_lane
        queued.next_in_lane = None
        if after is not None:
            after.is_behind = False
            self.waiting -= _release(after, turn)
        elif queued.lane is not None:
            del self._last[queued.lane]
        return after

    def _take_from(self, first: QueuedType, turn: Turn[QueuedType]) -> None:
        queued: QueuedType | None = first
        while queued is not None and queued.result is not None:
            queued = self.take_one(queued, turn)


def _release(first: QueuedType, turn: Turn[QueuedType]) -> int:
    """Let a record and those after it be posted, and return how many waited."""
    count = 0
    queued: QueuedType | None = first
    while queued is not None and queued.waits:
        queued.waits = False
        count += 1
        if queued.result is None:
            turn.posted.append(queued)
        queued = queued.next_in_lane
    return count
