"""Commits: where the group goes on in a partition, and how its finished positions become the group's.

This is the only place that decides what is committed: `CheckpointCommits` for at-least-once, `TransactionCommits` for
exactly-once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from eventing.kafka.port import Cluster, CommittedOffset
from functions.stream import recovery, start
from functions.stream.checkpoint import MOST_BYTES, MOST_GAPS, Checkpoint
from functions.stream.partition import PartitionTracker
from functions.stream.recovery import Committed
from functions.stream.report import logger
from functions.stream.settings import Order, StreamSettings
from functions.stream.transactions import Transactions

_NOTHING = Checkpoint({})

Commits = Mapping[int, CommittedOffset]
"""Offsets to commit, by partition of the input topic."""


class GroupOffsets(Protocol):
    """The group's offsets in the input topic."""

    async def committed(self, partition: int) -> CommittedOffset | None: ...

    async def bounds(self, partition: int) -> tuple[int, int]: ...

    async def commit(self, commits: Commits) -> None: ...


class CommitStrategy(Protocol):
    """Decides where to start in a partition and what is committed of it. Methods raise KafkaError."""

    @property
    def recovering(self) -> bool:
        """Whether `take_up` is at work."""
        ...

    async def take_up(self, partitions: Collection[int]) -> dict[int, PartitionTracker]:
        """Return trackers from the group's positions on, which know what was written beyond them."""
        ...

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        """Commit what has moved since its last commit."""
        ...

    def release(self, trackers: Iterable[PartitionTracker]) -> Commits:
        """Return what the consumer commits before it gives the partitions up."""
        ...


async def committed_at(offsets: GroupOffsets, settings: StreamSettings, partition: int, offset: CommittedOffset | None) -> Committed:
    """Return what an offset of the group stands for; None for a partition without one."""
    first, end = await offsets.bounds(partition)
    begin = start.find(None if offset is None else offset.offset, first, end, settings.reset)
    if begin.problem:
        logger.error("partition %d of %s: %s", partition, settings.input, begin.problem)
    if offset is None or not begin.continues:
        return Committed(begin.position, None)
    checkpoint = Checkpoint.from_text(offset.metadata, offset.offset)
    return Committed(begin.position, None if checkpoint is None else checkpoint.since(begin.position))


class CheckpointCommits:
    """Commits each position with a checkpoint of the outputs, from which the next owner recovers.

    Works on any broker.
    """

    def __init__(self, cluster: Cluster, settings: StreamSettings, offsets: GroupOffsets, targets: Callable[[int], dict[str, int]]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._offsets = offsets
        self._targets = targets
        self._recovering = False

    @property
    def recovering(self) -> bool:
        return self._recovering

    async def take_up(self, partitions: Collection[int]) -> dict[int, PartitionTracker]:
        """Return trackers.

        Without a checkpoint of a worker they count as not committed, so that the next commit writes one.
        """
        found = {partition: await self._offsets.committed(partition) for partition in partitions}
        committed = {partition: await committed_at(self._offsets, self._settings, partition, offset) for partition, offset in found.items()}
        self._recovering = True
        try:
            recovered = await asyncio.to_thread(
                recovery.recover, self._cluster, self._settings.group, self._settings.input, committed, self._targets
            )
        finally:
            self._recovering = False
        return {
            partition: PartitionTracker(
                partition,
                committed[partition].position,
                checkpoint,
                by_key=self._settings.order is Order.KEY,
                committed=found[partition] if committed[partition].checkpoint is not None else None,
            )
            for partition, checkpoint in recovered.items()
        }

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        due = self._due(trackers)
        if not due:
            return
        await self._offsets.commit({tracker.partition: offset for tracker, offset in due.items()})
        now = time.monotonic()
        for tracker, offset in due.items():
            if tracker.committed is None or tracker.committed.offset != offset.offset:
                tracker.moved_at = now
            tracker.committed = offset

    def release(self, trackers: Iterable[PartitionTracker]) -> Commits:
        return {tracker.partition: offset for tracker, offset in self._due(trackers).items()}

    def _due(self, trackers: Iterable[PartitionTracker]) -> dict[PartitionTracker, CommittedOffset]:
        offsets = {tracker: tracker.commit() for tracker in trackers}
        # A checkpoint without room for all that is finished waits: the outputs since the last one show it as well.
        return {
            tracker: offset for tracker, offset in offsets.items() if offset != tracker.committed and len(offset.metadata) <= MOST_BYTES
        }


class TransactionCommits:
    """Leaves the commits to the transactions of the outputs: what is finished is known without reading them."""

    def __init__(self, cluster: Cluster, settings: StreamSettings, offsets: GroupOffsets, transactions: Transactions) -> None:
        self._cluster = cluster
        self._settings = settings
        self._offsets = offsets
        self._transactions = transactions
        self._recovering = False

    @property
    def recovering(self) -> bool:
        return self._recovering

    async def take_up(self, partitions: Collection[int]) -> dict[int, PartitionTracker]:
        """Return trackers.

        What a worker without transactions has written last is recovered from the outputs; then a partition counts as
        not committed.
        """
        self._recovering = True
        try:
            await self._transactions.settle()
            found = {partition: await self._offsets.committed(partition) for partition in partitions}
            offsets, settings = self._offsets, self._settings
            committed = {partition: await committed_at(offsets, settings, partition, offset) for partition, offset in found.items()}
            recovered = await self._recover({partition: each for partition, each in committed.items() if not each.is_exact})
        finally:
            self._recovering = False
        return {
            partition: PartitionTracker(
                partition,
                each.position,
                Checkpoint({}, recovered.get(partition, each.checkpoint or _NOTHING).finished),
                by_key=self._settings.order is Order.KEY,
                committed=found[partition] if each.is_exact else None,
                most_gaps=MOST_GAPS // 2,  # what is finished is to have room in any case
            )
            for partition, each in committed.items()
        }

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        """Let the next transaction hold the offsets that have moved without a result, over records without one.

        The first commit of a partition is waited for: before any output in a transaction, the checkpoint of a worker
        without them is to be replaced, by which an aborted output would count as written.
        """
        moved = [tracker for tracker in trackers if tracker.commit() != tracker.committed]
        for tracker in moved:
            self._transactions.write(tracker, [])
        if first := {tracker.partition for tracker in moved if tracker.committed is None}:
            await self._transactions.drain(first, self._settings.transaction_timeout_seconds)

    async def _recover(self, committed: dict[int, Committed]) -> dict[int, Checkpoint]:
        if not committed:
            return {}
        settings, targets = self._settings, self._transactions.targets
        return await asyncio.to_thread(
            recovery.recover, self._cluster, settings.group, settings.input, committed, targets, read_committed=True
        )

    def release(self, trackers: Iterable[PartitionTracker]) -> Commits:
        """Return nothing: what is not committed yet is another owner's to do."""
        return {}
