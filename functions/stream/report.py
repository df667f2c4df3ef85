"""What the worker tells people: a line every while, never a flood."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

logger = logging.getLogger("tidegate.stream")


@dataclass(slots=True)
class Tally:
    """What was done since the start, in events."""

    scored: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    """Found written already by an earlier worker."""

    @property
    def finished(self) -> int:
        return self.scored + self.dead_lettered + self.skipped


class Seldom:
    """Says yes at once and then at most once every `seconds`, for each subject."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def __call__(self, subject: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(subject, float("-inf")) < self._seconds:
            return False
        self._last[subject] = now
        return True


class Summary:
    """The line of a busy while: what it moved, how fast, and what is left."""

    def __init__(self, tally: Tally, seconds: float = 10.0) -> None:
        self._tally = tally
        self._seconds = seconds
        self._told = replace(tally)
        self._told_at = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._told_at >= self._seconds

    def tell(self, lag: int) -> None:
        now = time.monotonic()
        events = self._tally.finished - self._told.finished
        if events:
            logger.info(
                "%d events in %.0f s (%.0f a second): %d scored, %d dead-lettered; %d are left",
                events,
                now - self._told_at,
                events / (now - self._told_at),
                self._tally.scored - self._told.scored,
                self._tally.dead_lettered - self._told.dead_lettered,
                lag,
            )
        self._told, self._told_at = replace(self._tally), now
