"""Commits: where the group goes on in a partition, and how its finished positions become the group's.

This is the only place that makes offsets to commit. A `CommitStrategy` of transactions can take the place of
`CheckpointCommits`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from eventing.kafka.port import Cluster, CommittedOffset, TopicPartition
from functions.stream import recovery
from functions.stream.checkpoint import MOST_BYTES, Checkpoint
from functions.stream.partition import PartitionTracker
from functions.stream.settings import Order, StreamSettings

Commits = Mapping[int, CommittedOffset]
"""Offsets to commit, by partition of the input topic."""


class GroupOffsets(Protocol):
    """The group's offsets in the input topic."""

    async def committed(self, partition: int) -> CommittedOffset | None: ...

    async def start_of(self, partition: int) -> int: ...

    async def commit(self, commits: Commits) -> None: ...


class CommitStrategy(Protocol):
    """Decides where to start in a partition and what is committed of it. Methods raise KafkaError."""

    @property
    def recovering(self) -> bool:
        """Whether `take_up` is at work."""
        ...

    async def take_up(self, partition: int) -> PartitionTracker:
        """Return a tracker from the group's position on, which knows what was written beyond it."""
        ...

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        """Commit what has moved since its last commit."""
        ...

    def release(self, trackers: Iterable[PartitionTracker]) -> Commits:
        """Return what the consumer commits before it gives the partitions up."""
        ...


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

    async def take_up(self, partition: int) -> PartitionTracker:
        """Return a tracker.

        Without a checkpoint of a worker it counts as not committed, so that the next commit writes one.
        """
        found = await self._offsets.committed(partition)
        position = await self._offsets.start_of(partition) if found is None else found.offset
        checkpoint = None if found is None else Checkpoint.from_text(found.metadata, position)
        source = TopicPartition(self._settings.input, partition)
        self._recovering = True
        try:
            recovered = await asyncio.to_thread(
                recovery.recover, self._cluster, self._settings.group, source, position, self._targets(partition), checkpoint
            )
        finally:
            self._recovering = False
        committed = None if checkpoint is None else found
        return PartitionTracker(partition, position, recovered, by_key=self._settings.order is Order.KEY, committed=committed)

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
        # A checkpoint without room for all that is finished waits: the outputs since the last one tell as well.
        return {
            tracker: offset for tracker, offset in offsets.items() if offset != tracker.committed and len(offset.metadata) <= MOST_BYTES
        }
