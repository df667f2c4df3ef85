"""The cycle of transactions: what the next one holds, and what follows from the end of the last. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from common.errors import RemediedError, TidegateError
from eventing.kafka.errors import Fenced, MemberFenced, NotAuthorized, RecordTooLarge, TransactionAbortable
from eventing.kafka.port import CommittedOffset
from functions.stream.checkpoint import MOST_BYTES
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.sender import WriteFailed


class Dropped(TidegateError):
    """The partitions of an open transaction were lost: it is not to be committed."""


class Consequence(Enum):
    """What follows from a transaction that was not committed; its partitions are taken up again in any case."""

    GO_ON = auto()
    """It is aborted, and the producer begins the next one."""
    RENEW = auto()
    """The producer is replaced, which ends the transaction if it is open."""
    END = auto()
    """It is aborted, and the worker ends: it would fail again in the same way until someone helps."""


def consequence(error: Exception) -> Consequence:
    """Return what follows from the error of a transaction."""
    found = error.reason if isinstance(error, TransactionAbortable) else error
    if isinstance(found, RecordTooLarge | NotAuthorized | WriteFailed | RemediedError) or not isinstance(found, TidegateError):
        return Consequence.END
    return Consequence.GO_ON if isinstance(found, MemberFenced | Dropped) else Consequence.RENEW


def sentence(error: Exception, group: str) -> str:
    """Return what to log of a transaction that was not committed and is done again."""
    if isinstance(error, MemberFenced):
        return f"the group {group} gave this worker's partitions to others while it was away; it goes on as a new member"
    cause = "its producer was replaced, or its time-out passed" if isinstance(error, Fenced) else str(error).rstrip(".")
    return f"a transaction of {group} was not committed ({cause}); its events are done again from the last commit"


@dataclass(slots=True)
class Batch:
    """The content of one transaction: results by tracker, and offsets by input partition."""

    results: dict[PartitionTracker, list[PendingRecord]] = field(default_factory=dict)
    offsets: dict[int, CommittedOffset] = field(default_factory=dict)

    @property
    def partitions(self) -> set[int]:
        return {tracker.partition for tracker in self.results}


class Cycle:
    """What gathers for the next transaction, while another one is open.

    Results count as finished as soon as they are gathered: offsets are committed with them, or the partition is taken
    up again with another tracker.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._next = Batch()
        self.open: Batch | None = None

    @property
    def has_next(self) -> bool:
        return bool(self._next.results)

    @property
    def has_room(self) -> bool:
        """Whether fewer results have gathered than a transaction is to hold at most."""
        return self._count < self._most

    def gather(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        """Add results to the next transaction; none, to commit the tracker's offset alone."""
        tracker.finish(records)
        self._next.results.setdefault(tracker, []).extend(records)
        self._count += len(records)

    def begin(self) -> Batch:
        """Open the transaction of all that has gathered, with the offsets of this moment.

        Partitions whose finished offsets have no room in the metadata of a commit gather on, until gaps close.
        """
        if self.open is not None:
            raise RuntimeError("the transaction before is open.")
        self.open, gathered = Batch(), self._next.results
        for tracker in list(gathered):
            offset = tracker.commit()
            if len(offset.metadata) <= MOST_BYTES:
                self.open.results[tracker], self.open.offsets[tracker.partition] = gathered.pop(tracker), offset
        self._count = sum(map(len, gathered.values()))
        return self.open

    def end(self, *, committed: bool) -> None:
        """Note how the open transaction ended. What has gathered since an uncommitted one is of trackers that are closed."""
        if self.open is not None and committed:
            for tracker in self.open.results:
                tracker.committed = self.open.offsets[tracker.partition]
        self.open = None
        if not committed:
            self._next, self._count = Batch(), 0

    def holds(self, partition: int) -> bool:
        return partition in self._next.partitions or (self.open is not None and partition in self.open.partitions)

    def drop(self, partitions: Collection[int]) -> bool:
        """Forget what has gathered for these partitions; return whether the open transaction has some of them."""
        for tracker in list(self._next.results):
            if tracker.partition in partitions:
                self._count -= len(self._next.results.pop(tracker))
        return self.open is not None and not self.open.partitions.isdisjoint(partitions)
