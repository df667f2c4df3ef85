"""Admission of calls to the sink: as many at a time as throughput grows with, and one while the sink is away.

So a function at zero replicas is woken by one call, and one that comes back is not met by all that has waited.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from common.adaptive_limit import AdaptiveLimit
from common.delivery import backoff
from common.room import Room

# So many calls that fail in a row, with no answer between them, mean that the sink is away.
_FAILURES = 3
# The longest wait between two calls to a sink that is away: soon after it comes back, one reaches it.
_PAUSE_SECONDS = 5.0
_OVERLOADED = frozenset({429, 503, 504})


class Admission:
    """Places for calls, in order of arrival."""

    def __init__(self, initial: int, most: int) -> None:
        self._adaptive = AdaptiveLimit(most, initial)
        self._room = Room(1)
        self._failures = 0
        self._not_before = 0.0
        self._known = False
        self.answered = 0
        """How many calls the sink has answered."""

    @property
    def limit(self) -> int:
        """How many calls may be open now."""
        return self._room.limit

    @property
    def is_away(self) -> bool:
        """Whether calls are made one at a time, with pauses, until one is answered."""
        return self._failures >= _FAILURES

    async def enter(self, *, paused: bool = True) -> None:
        """Wait for a place, which the caller gives back by `leave`; and, if `paused`, for the end of a pause."""
        await self._room.take(1)
        try:
            await asyncio.sleep(max(0.0, self._not_before - monotonic()) if paused else 0.0)
        except asyncio.CancelledError:
            self._room.give(1)
            raise
        self._adaptive.started(monotonic())

    def leave(self) -> None:
        self._room.give(1)

    def succeeded(self, events: int) -> None:
        """Note that a call was answered."""
        self.answered += 1
        self._failures, self._not_before, self._known = 0, 0.0, True
        self._adaptive.finished(events, monotonic())
        self._resize()

    def failed(self, status: int, retry_after_seconds: float) -> None:
        """Note that all events of a call failed, and are to be retried."""
        self._failures += 1
        if status in _OVERLOADED:
            self._adaptive.overloaded(monotonic())
        if self.is_away:
            pause = max(backoff(self._failures - _FAILURES + 1, longest=_PAUSE_SECONDS), min(retry_after_seconds, _PAUSE_SECONDS))
            self._not_before = monotonic() + pause
        self._resize()

    def _resize(self) -> None:
        self._room.limit = self._adaptive.limit if self._known and not self.is_away else 1
        self._room.wake()
