"""The lag of a partition in seconds: how long ago its oldest record that is not finished arrived. No I/O.

A record's timestamp is set by its producer, whose clock may be wrong, and is compared with a clock that may jump. So
it counts only within what the worker has seen itself: whether the record was there at its earlier readings of the
partition's end, by a clock that only goes on.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

# Beyond these, every second reading is forgotten. With one each ten seconds they reach back for at least an hour.
_MOST_READINGS = 720


class _Reading(NamedTuple):
    end: int
    at: float


class Arrivals:
    """The readings of a partition's end. Times are those of one monotonic clock."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque()

    @property
    def end(self) -> int:
        """The next offset to be produced, as of the last reading; 0 before the first."""
        return self._readings[-1].end if self._readings else 0

    def read(self, end: int, at: float) -> None:
        """Take a reading: the records before `end` had arrived by then."""
        if end < self.end:
            self._readings.clear()  # the topic was created again
        self._readings.append(_Reading(end, at))
        if len(self._readings) > _MOST_READINGS:
            self._readings = deque([*list(self._readings)[:-1:2], self._readings[-1]])

    def finish(self, position: int) -> None:
        """Forget what only matters for records before `position`."""
        while len(self._readings) > 1 and self._readings[1].end <= position:
            self._readings.popleft()

    def age_within(self, offset: int, now: float) -> tuple[float, float]:
        """Return the least and the greatest age of the record at an offset, in seconds."""
        least, greatest = 0.0, float("inf")
        for end, at in self._readings:
            if end > offset:
                least = max(0.0, now - at)
                break
            greatest = max(0.0, now - at)
        return least, greatest


def age_seconds(timestamp_ms: int, wall_seconds: float, within: tuple[float, float]) -> float:
    """Return the age of a record by its timestamp, as far as the bounds allow; a timestamp below 1 counts as none."""
    least, greatest = within
    if timestamp_ms <= 0:
        return least
    return min(max(wall_seconds - timestamp_ms / 1000, least), greatest)
