"""One partition from its assignment to its revocation: its unfinished records, and whose results may be written. No I/O.

Results are written in the order of each key, and so out of the order of the partition. What is finished beyond the
position is part of each commit, where there is room for a bounded number of gaps: at the bound, results are written in
the order of the partition until gaps close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eventing.codecs.kafka import Message, Record
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.port import CommittedOffset, Delivery
from functions.stream.checkpoint import MOST_GAPS, Checkpoint, Position
from functions.stream.lanes import Lanes, Queued, Turn
from functions.stream.window import Window


class PendingRecord(Queued):
    """A record that is not finished: it gets an event to post, then a result, and last an acknowledged output."""

    __slots__ = ("deadline", "delivery", "event", "letters", "record", "tracker")

    result: Event | Rejection | None
    next_in_lane: PendingRecord | None

    def __init__(self, tracker: PartitionTracker, record: Record) -> None:
        super().__init__(record.offset)
        self.tracker = tracker
        self.record = record
        self.event: bytes | None = None
        self.delivery: Delivery | None = None
        """Its output on the way to the broker."""
        self.letters: Iterator[Message] | None = None
        """The remaining forms of its dead letter, each smaller than the one before; None unless it has one."""
        self.deadline: float | None = None


class PartitionTracker:
    """The records of one assignment of a partition.

    It is closed when the partition is revoked, and later results are dropped.
    """

    def __init__(
        self,
        partition: int,
        position: int,
        checkpoint: Checkpoint,
        *,
        by_key: bool = True,
        committed: CommittedOffset | None = None,
        most_gaps: int = MOST_GAPS,
    ) -> None:
        self.partition = partition
        self.committed = committed
        """The last commit with a checkpoint; None before the first."""
        self.closed = False
        self.moved_at = 0.0
        self._by_key = by_key
        self._most_gaps = most_gaps
        self._positions = dict(checkpoint.positions)
        self._window: Window[PendingRecord] = Window(position, checkpoint.finished)
        self._lanes: Lanes[PendingRecord] = Lanes()
        self._held: list[PendingRecord] = []

    @property
    def oldest(self) -> Record | None:
        """The first record that was read and is not finished; None if all are."""
        first = next(iter(self._window), None)
        return None if first is None else first.record

    def __len__(self) -> int:
        """Return how many records were read and are not finished."""
        return len(self._window)

    @property
    def busy(self) -> int:
        """Return how many of them do not wait for a record of their key that is being retried."""
        return len(self._window) - self._lanes.waiting

    @property
    def position(self) -> int:
        """The offset before which every record is finished."""
        return self._window.position

    @property
    def known(self) -> int:
        """How many offsets beyond the position are finished."""
        return sum(span.stop - span.start for span in self._window.finished())

    @property
    def is_held(self) -> bool:
        """Whether results wait for gaps to close, and `take` is to be called again."""
        return bool(self._held)

    def commit(self) -> CommittedOffset:
        """Return the position, and as its metadata what is finished beyond it."""
        checkpoint = Checkpoint(dict(self._positions), tuple(self._window.finished()))
        return CommittedOffset(self.position, checkpoint.to_text(self.position))

    def add(self, record: Record) -> PendingRecord | None:
        """Append the next record; None if an earlier worker has finished it."""
        if self._window.is_finished(record.offset):
            self._window.pass_over(record.offset)
            return None
        pending = PendingRecord(self, record)
        self._window.append(pending)
        self._lanes.join(pending, record.key if self._by_key else b"")
        return pending

    def pass_over(self, record: Record) -> None:
        """Note that the next record gets no output."""
        self._window.pass_over(record.offset)

    def take(self, resolved: Iterable[PendingRecord] = ()) -> Turn[PendingRecord]:
        """Return what is to be written and posted now that these records have got their results."""
        if self.closed:
            return Turn([], [])
        self._held.extend(resolved)
        if self._window.gaps >= self._most_gaps:
            return self._take_in_order()
        found, self._held = self._held, []
        return self._lanes.take(found)

    def finish(self, records: Iterable[PendingRecord]) -> None:
        """Note that the outputs of these records are acknowledged."""
        for pending in records:
            self._window.finish(pending)

    def acknowledge(self, topic: str, partition: int, offset: int) -> None:
        """Note where the last of the acknowledged outputs is; -1 if the broker did not say."""
        found = self._positions.get(topic)
        # Its partition differs if the topic got more of them meanwhile.
        if found is None or (partition == found.partition and offset >= found.offset):
            self._positions[topic] = Position(partition, offset + 1)

    def close(self) -> None:
        self.closed = True

    def _take_in_order(self) -> Turn[PendingRecord]:
        turn: Turn[PendingRecord] = Turn([], [])
        for pending in self._window:
            if not pending.taken:
                if pending.result is None:
                    break
                after = self._lanes.take_one(pending, turn)
                if after is not None and after.result is not None:
                    self._held.append(after)
        self._held = [pending for pending in self._held if not pending.taken]
        return turn
