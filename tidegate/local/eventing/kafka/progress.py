"""Progress in one partition: the offset up to which every record is finished, in whatever order they finish. No I/O."""

from __future__ import annotations


class Progress:
    """The records of a partition that were read and are not all finished, one byte each."""

    def __init__(self, position: int) -> None:
        self.position = position
        """The lowest offset that is not finished: what a group commits."""
        self._finished = bytearray()

    @property
    def next(self) -> int:
        """The offset to read next."""
        return self.position + len(self._finished)

    def read(self, offset: int) -> None:
        """Take note of the next record. Offsets that are left out have no record, as after compaction."""
        self._finished += b"\x01" * (offset - self.next) + b"\x00"
        self._advance()

    def finish(self, offset: int) -> None:
        """Take note that a record which was read is finished."""
        self._finished[offset - self.position] = 1
        if offset == self.position:
            self._advance()

    def _advance(self) -> None:
        found = self._finished.find(0)
        count = len(self._finished) if found < 0 else found
        del self._finished[:count]
        self.position += count
