"""The state of one partition from its assignment to its revocation: its unfinished records, in order. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from eventing.codecs.kafka import Message, Record
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.port import Delivery
from functions.stream.recovery import Checkpoint, OutputOffset


class PendingRecord:
    """A record that is not finished: it gets an event to post, then a result, and last the offset of its output."""

    __slots__ = ("attempts", "deadline", "delivery", "event", "letters", "output", "passed_over", "posted", "record", "result", "tracker")

    def __init__(self, tracker: PartitionTracker, record: Record, output: OutputOffset | None) -> None:
        self.tracker = tracker
        self.record = record
        self.event: bytes | None = None
        self.result: Event | Rejection | None = None
        self.delivery: Delivery | None = None
        """Its output on the way to the broker."""
        self.output = output
        self.letters: Iterator[Message] | None = None
        """The remaining forms of its dead letter, each smaller than the one before; None unless it has one."""
        self.passed_over = False
        """Whether it gets no output: a tombstone."""
        self.posted = False
        """Whether the reply sink has accepted its reply, which is written to no topic."""
        self.attempts = 0
        self.deadline: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether its output is acknowledged, or it gets none."""
        return self.passed_over or self.posted or self.output is not None


class PartitionTracker:
    """Orders the results of one partition: they are written by offset, in whatever order they arrive.

    The position to commit moves only over acknowledged outputs. A tracker belongs to one assignment: it is closed when
    the partition is revoked, and later results are dropped.
    """

    def __init__(
        self, partition: int, position: int, checkpoint: Checkpoint, written: Mapping[int, OutputOffset], *, committed: int | None = None
    ) -> None:
        self.partition = partition
        self.position = position
        self.checkpoint = checkpoint
        self.committed = committed
        """The position of the last commit with a checkpoint; None before the first."""
        self.closed = False
        self.moved_at = 0.0
        self._written = dict(written)
        self._unfinished: deque[PendingRecord] = deque()
        self._unwritten: deque[PendingRecord] = deque()

    @property
    def written(self) -> int:
        """How many of the coming records have an output that an earlier worker wrote."""
        return len(self._written)

    def __len__(self) -> int:
        """Return how many records were read and are not finished."""
        return len(self._unfinished)

    def add(self, record: Record) -> PendingRecord:
        """Append the next record. It has an output already if an earlier worker wrote it."""
        pending = PendingRecord(self, record, self._written.pop(record.offset, None))
        self._unfinished.append(pending)
        self._unwritten.append(pending)
        return pending

    def take(self) -> list[PendingRecord]:
        """Return the records whose results can be written now, in order; each is returned once."""
        ready: list[PendingRecord] = []
        while not self.closed and self._unwritten and (self._unwritten[0].result is not None or self._unwritten[0].is_finished):
            pending = self._unwritten.popleft()
            if not pending.is_finished:
                ready.append(pending)
        self.advance()
        return ready

    def advance(self) -> None:
        """Move the position over all leading records that are finished."""
        while self._unfinished and self._unfinished[0].is_finished:
            finished = self._unfinished.popleft()
            self.position = finished.record.offset + 1
            if finished.output is not None:
                self.checkpoint = self.checkpoint.advanced(finished.output)

    def close(self) -> None:
        self.closed = True
