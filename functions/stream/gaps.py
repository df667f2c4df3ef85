"""Jumps in the offsets that are read: compacted records, records that were removed too early, a topic recreated.

No I/O: only the partition's first offset shows which of them it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventing.codecs.kafka import Record

# A compacted topic has many jumps. Of those beyond this number between two reports, none is examined.
_MOST = 1000


class Gaps:
    """The offset that is expected next of each partition, and the jumps since the last report."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._jumps: dict[int, list[tuple[int, int]]] = {}

    def sought(self, partition: int, offset: int) -> None:
        """Expect this offset next."""
        self._next[partition] = offset

    def follows(self, partition: int, records: Sequence[Record]) -> bool:
        """Take note of records. False if they begin before the expected offset, as those of a topic recreated."""
        expected, first = self._next.get(partition), records[0].offset
        if expected is not None and first < expected:
            del self._next[partition]
            return False
        if expected is not None and first > expected and len(jumps := self._jumps.setdefault(partition, [])) < _MOST:
            jumps.append((expected, first))
        self._next[partition] = records[-1].offset + 1
        return True

    def noted(self) -> list[int]:
        """Return the partitions with jumps to examine."""
        return list(self._jumps)

    def removed(self, partition: int, start: int) -> int:
        """Return how many records were jumped over because the partition now begins at `start`, and forget the jumps."""
        return sum(max(0, min(start, to) - since) for since, to in self._jumps.pop(partition, []))
