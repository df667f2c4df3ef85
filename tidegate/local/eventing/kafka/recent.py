"""The most recent records of a topic in memory, by their offsets: a reader that keeps up does not ask Kafka for them."""

from __future__ import annotations

from collections import deque

from eventing.event import Event

_MAX_RECORDS = 10_000
_MAX_BYTES = 16 << 20


class Recent:
    """A bounded cache. It is never more than that: what it does not have, a reader fetches."""

    def __init__(self, max_records: int = _MAX_RECORDS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._events: dict[tuple[int, int], Event] = {}
        self._order: deque[tuple[tuple[int, int], int]] = deque()
        self._bytes = 0
        self._ends: dict[int, int] = {}

    def add(self, partition: int, offset: int, event: Event, size: int) -> None:
        """Add a record that Kafka has acknowledged, and drop the oldest ones beyond the bounds."""
        self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)
        key = (partition, offset)
        self._events[key] = event
        self._order.append((key, size))
        self._bytes += size
        while len(self._order) > self._max_records or self._bytes > self._max_bytes:
            dropped, size = self._order.popleft()
            self._bytes -= size
            self._events.pop(dropped, None)

    def get(self, partition: int, offset: int) -> Event | None:
        return self._events.get((partition, offset))

    def end(self, partition: int) -> int:
        """Return the offset after the last record that was added; 0 before the first."""
        return self._ends.get(partition, 0)
