"""One partition from its assignment to its revocation: what was read, in order, and how far it is finished. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from eventing.codecs.kafka import Message, Record
from eventing.deadletter import Rejection
from eventing.event import Event
from functions.stream.recovery import Checkpoint, Landing


class Slot:
    """The place of one record: first its event, as it is posted, then its result, at last where its output landed."""

    __slots__ = ("attempts", "deadline", "event", "landing", "lane", "letters", "record", "result")

    def __init__(self, lane: Lane, record: Record, landing: Landing | None) -> None:
        self.lane = lane
        self.record = record
        self.event: bytes | None = None
        self.result: Event | Rejection | None = None
        self.landing = landing
        self.letters: Iterator[Message] | None = None
        """The forms of its dead letter that are left, each smaller than the one before; None unless it has one."""
        self.attempts = 0
        self.deadline: float | None = None


class Lane:
    """Results are written in the order of their offsets, whatever the order in which they arrive, and the position to commit moves only
    over what was acknowledged.

    A lane is its own epoch: it is closed when its partition is revoked, and a result that comes later finds nothing to take.
    """

    def __init__(self, partition: int, position: int, checkpoint: Checkpoint, written: Mapping[int, Landing]) -> None:
        self.partition = partition
        self.position = position
        self.checkpoint = checkpoint
        self.committed = position
        self.closed = False
        self.moved_at = 0.0
        self._written = dict(written)
        self._unfinished: deque[Slot] = deque()
        self._unwritten: deque[Slot] = deque()

    @property
    def written(self) -> int:
        """Records yet to come whose output an earlier worker wrote."""
        return len(self._written)

    def __len__(self) -> int:
        """Records that were read and are not finished."""
        return len(self._unfinished)

    def add(self, record: Record) -> Slot:
        """The next record. Its slot has a landing already if an earlier worker wrote its output."""
        slot = Slot(self, record, self._written.pop(record.offset, None))
        self._unfinished.append(slot)
        self._unwritten.append(slot)
        return slot

    def take(self) -> list[Slot]:
        """The slots whose outputs are to be written now, in order; each is given once."""
        ready: list[Slot] = []
        while not self.closed and self._unwritten and (self._unwritten[0].result is not None or self._unwritten[0].landing is not None):
            slot = self._unwritten.popleft()
            if slot.landing is None:
                ready.append(slot)
        self.advance()
        return ready

    def advance(self) -> None:
        """Move the position over every slot in front that has landed."""
        while self._unfinished and (landing := self._unfinished[0].landing) is not None:
            self.position = self._unfinished.popleft().record.offset + 1
            self.checkpoint = self.checkpoint.advanced(landing)

    def close(self) -> None:
        self.closed = True
