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
from functions.stream import recovery, start
from functions.stream.partition import PartitionTracker
from functions.stream.recovery import Checkpoint
from functions.stream.report import logger
from functions.stream.settings import StreamSettings

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

    async def take_up(self, partition: int) -> PartitionTracker:
        """Return a tracker from the group's position on, which knows what was written beyond it."""
        ...

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        """Commit the positions that have moved since their last commit."""
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
        first, end = await self._offsets.bounds(partition)
        begin = start.find(None if found is None else found.offset, first, end, self._settings.reset)
        if begin.problem:
            logger.error("partition %d of %s: %s", partition, self._settings.input, begin.problem)
        position = begin.position
        checkpoint = None if found is None or not begin.continues else Checkpoint.from_text(found.metadata)
        source = TopicPartition(self._settings.input, partition)
        self._recovering = True
        try:
            state = await asyncio.to_thread(
                recovery.recover, self._cluster, self._settings.group, source, position, self._targets(partition), checkpoint
            )
        finally:
            self._recovering = False
        committed = None if checkpoint is None or begin.problem else position
        return PartitionTracker(partition, position, state.checkpoint, state.written, committed=committed)

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        moved = {tracker: tracker.position for tracker in trackers if tracker.position != tracker.committed}
        if not moved:
            return
        await self._offsets.commit(self.release(moved))
        now = time.monotonic()
        for tracker, position in moved.items():
            tracker.committed = position
            tracker.moved_at = now

    def release(self, trackers: Iterable[PartitionTracker]) -> Commits:
        return {
            tracker.partition: CommittedOffset(tracker.position, tracker.checkpoint.to_text())
            for tracker in trackers
            if tracker.position != tracker.committed
        }
