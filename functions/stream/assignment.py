"""The partitions that the group has assigned to this worker, from their recovery to their release."""

from __future__ import annotations

from functions.stream.commit import Commits, CommitStrategy
from functions.stream.input import Input
from functions.stream.metrics import Metrics
from functions.stream.partition import PartitionTracker
from functions.stream.report import logger
from functions.stream.settings import StreamSettings
from functions.stream.writer import ResultWriter

# A partition whose earlier outputs are not written after so long is tried again in the next round.
_DRAIN_SECONDS = 0.1


class Assignment:
    """The owner of the input's partitions: each gets a tracker when it is taken up, and loses it when it is revoked.

    All of its state belongs to the event loop's thread.
    """

    def __init__(
        self, settings: StreamSettings, consumer: Input, writer: ResultWriter, commits: CommitStrategy, metrics: Metrics | None = None
    ) -> None:
        self._settings = settings
        self._input = consumer
        self._writer = writer
        self._commits = commits
        self._metrics = metrics or Metrics()
        self._new: set[int] = set()
        self.trackers: dict[int, PartitionTracker] = {}
        """The trackers of the partitions that are taken up."""
        self.paused: set[int] = set()
        """The partitions with too many unfinished records."""
        self.taken_up = 0
        """How often a partition was taken up."""

    @property
    def is_empty(self) -> bool:
        return not self.trackers and not self._new

    @property
    def unread(self) -> set[int]:
        """The partitions from which nothing is to be read now."""
        return self.paused | self._new

    async def take_up(self) -> None:
        """Recover the new partitions and seek to their positions. Raises KafkaError; the next call goes on."""
        # Outputs that this process sent in an earlier assignment must be written before they can be recovered.
        ready = [partition for partition in sorted(self._new) if await self._writer.drain({partition}, _DRAIN_SECONDS)]
        if not ready:
            return
        found = await self._commits.take_up(ready)
        taken_up = {partition: tracker for partition, tracker in found.items() if partition in self._new}
        self.trackers |= taken_up
        # Before the first commit, the successor of a killed worker could not recover what it wrote.
        await self._commits.commit(taken_up.values())
        for partition, tracker in taken_up.items():
            if self.trackers.get(partition) is not tracker:
                continue  # it was revoked meanwhile
            await self._input.seek(partition, tracker.position)
            if tracker.closed:
                continue  # its first commit failed, and it is to be taken up again
            self._new.discard(partition)
            self.taken_up += 1
            logger.info(
                "partition %d of %s is taken up at offset %d; %d records beyond it are finished already",
                partition,
                self._settings.input,
                tracker.position,
                tracker.known,
            )

    def update_pauses(self) -> None:
        """Pause each partition with too many unfinished records, until half of them are finished.

        Those that wait for a retry count apart: other keys of their partition go on meanwhile.
        """
        most, busy = self._settings.backlog, self._settings.backlog_of(len(self.trackers))
        for partition, tracker in self.trackers.items():
            if len(tracker) >= most or tracker.busy >= busy:
                self.paused.add(partition)
            elif len(tracker) <= most // 2 and tracker.busy <= busy // 2:
                self.paused.discard(partition)

    def retake(self) -> None:
        """Take all partitions up again, from what is committed."""
        self._new |= self.trackers.keys()
        self.paused.clear()
        for tracker in self.trackers.values():
            tracker.close()
        self.trackers.clear()

    def assigned(self, partitions: set[int]) -> None:
        self._metrics.rebalanced("assigned")
        self._new |= partitions

    async def released(self, partitions: set[int]) -> Commits:
        self._metrics.rebalanced("revoked")
        trackers = self._drop(partitions)
        if not await self._writer.drain(partitions, self._settings.session_timeout_seconds / 3):
            self._writer.drop(partitions)
        return self._commits.release(trackers)

    def lost(self, partitions: set[int]) -> None:
        self._metrics.rebalanced("lost")
        self._writer.drop(partitions)
        self._drop(partitions)

    def _drop(self, partitions: set[int]) -> list[PartitionTracker]:
        self._new -= partitions
        self.paused -= partitions
        trackers = [self.trackers.pop(partition) for partition in partitions if partition in self.trackers]
        for tracker in trackers:
            tracker.close()
        return trackers
