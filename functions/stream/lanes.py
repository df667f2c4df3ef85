"""Lanes: the records of one key, whose results are written in the order of their offsets. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from functions.stream.partition import PendingRecord


class Turn(NamedTuple):
    """What the results that have arrived allow."""

    written: list[PendingRecord]
    """The records whose results are to be written now, in this order."""

    posted: list[PendingRecord]
    """The records that waited for these, and are to be posted now."""


class Lanes:
    """The unwritten records of each key. Records without a key are in no lane: nothing orders them."""

    def __init__(self) -> None:
        self._last: dict[bytes, PendingRecord] = {}

    def __len__(self) -> int:
        """Return how many keys have unwritten records."""
        return len(self._last)

    def join(self, pending: PendingRecord, key: bytes | None) -> None:
        """Append a record to its lane.

        It waits, and is not to be posted, if the one before it was posted and cannot be written: that one, or one
        before it, is retried.
        """
        if key is None:
            return
        pending.lane = key
        before = self._last.get(key)
        self._last[key] = pending
        if before is not None:
            pending.is_behind, before.next_in_lane = True, pending
            pending.waits = before.waits or before.attempts > 0 or before.result is not None

    def take(self, resolved: Iterable[PendingRecord]) -> Turn:
        """Return what is to be written and posted once these records have got their results; each record once."""
        turn = Turn([], [])
        for pending in resolved:
            if not pending.is_behind and not pending.taken:
                self._take_from(pending, turn)
        return turn

    def take_one(self, pending: PendingRecord, turn: Turn) -> PendingRecord | None:
        """Let the first record of its lane be written, and those be posted that waited for it; return the next one."""
        pending.taken = True
        turn.written.append(pending)
        after, pending.next_in_lane = pending.next_in_lane, None
        if after is not None:
            after.is_behind = False
            _release(after, turn)
        elif pending.lane is not None:
            del self._last[pending.lane]
        return after

    def _take_from(self, first: PendingRecord, turn: Turn) -> None:
        pending: PendingRecord | None = first
        while pending is not None and pending.result is not None:
            pending = self.take_one(pending, turn)


def _release(first: PendingRecord, turn: Turn) -> None:
    pending: PendingRecord | None = first
    while pending is not None and pending.waits:
        pending.waits = False
        if pending.result is None:
            turn.posted.append(pending)
        pending = pending.next_in_lane
