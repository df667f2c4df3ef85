"""The input topic: a consumer in its group, on a thread of its own, and what it says when partitions come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from eventing.kafka.port import Cluster, CommittedOffset, ConsumedRecord, ConsumerOptions, Offsets, TopicPartition
from functions.stream.recovery import Checkpoint
from functions.stream.settings import StreamSettings

Commits = Mapping[int, tuple[int, Checkpoint]]

# With more, a call to a broker that is away would keep the polls, and a stop, waiting.
_CALL_SECONDS = 5.0


class Owner(Protocol):
    """Who is told of the assignment. Both are called on the event loop."""

    def assigned(self, partitions: set[int]) -> None: ...

    async def released(self, partitions: set[int]) -> Commits:
        """Stop writing for these partitions and say what may be committed of them, soon: nobody gets them before."""
        ...

    def lost(self, partitions: set[int]) -> None: ...


class Input:
    """A group consumer. Its client is not thread safe, so that every call runs on one thread; the callbacks alone come from another."""

    def __init__(self, cluster: Cluster, settings: StreamSettings, owner: Owner) -> None:
        self._topic = settings.input
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "tidegate-input")
        self._consumer = cluster.consumer(
            ConsumerOptions(
                group=settings.group,
                instance=settings.instance,
                session_timeout_seconds=settings.session_timeout_seconds,
                # Polls never wait for the model, so this can be short: a lost request to join is waited for 5 s longer.
                max_poll_interval_seconds=25.0,
                max_poll_records=4 * settings.batch_size,
            )
        )
        self._consumer.subscribe(self._topic, _Listener(self._loop, owner, settings.session_timeout_seconds / 2))

    async def poll(self, timeout_seconds: float, paused: set[int]) -> dict[int, Sequence[ConsumedRecord]]:
        """Records by partition, none of the `paused` ones. To be called without long breaks, or the group takes the partitions away."""
        records: dict[int, Sequence[ConsumedRecord]] = await self._run(self._poll, timeout_seconds, paused)
        return records

    async def committed(self, partition: int) -> tuple[int, Checkpoint | None] | None:
        """Where the group goes on, and the checkpoint that was committed with it; None before the first commit."""
        found = await self._run(self._consumer.committed, self._source(partition), _CALL_SECONDS)
        return None if found is None else (found.offset, Checkpoint.from_text(found.metadata))

    async def start_of(self, partition: int) -> int:
        """The first offset that the partition still has."""
        source = self._source(partition)
        starts = await self._run(self._consumer.beginning_offsets, [source])
        return int(starts[source])

    async def seek(self, partition: int, offset: int) -> None:
        await self._run(self._consumer.seek, self._source(partition), offset)

    async def commit(self, commits: Commits) -> None:
        """Raises KafkaError, for one when the partitions are being moved to another member."""
        await self._run(self._consumer.commit, _offsets(self._topic, commits), _CALL_SECONDS)

    def positions(self) -> dict[int, int | None]:
        """The next offset that is fetched, by assigned partition. Does not wait for the client's thread."""
        return {source.partition: position for source, position in self._consumer.positions().items()}

    @property
    def member(self) -> bool:
        """Whether the group has taken this process in, with or without partitions, and is not being divided now. Does not wait either."""
        return self._consumer.is_member

    async def behind(self, positions: Mapping[int, int]) -> int:
        """Records beyond these positions, as far as the broker has told."""
        count: int = await self._run(self._behind, positions)
        return count

    async def close(self, timeout_seconds: float) -> None:
        """Leave the group; the owner is asked to release first. Raises TimeoutError when that takes longer."""
        closing = self._run(self._consumer.close, timeout_seconds)
        try:
            await asyncio.wait_for(closing, timeout_seconds)
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await self._loop.run_in_executor(self._thread, call, *arguments)

    def _poll(self, timeout_seconds: float, paused: set[int]) -> dict[int, Sequence[ConsumedRecord]]:
        self._pause(paused)
        records = self._consumer.poll(timeout_seconds)
        return {source.partition: batch for source, batch in records.items()}

    def _behind(self, positions: Mapping[int, int]) -> int:
        return sum(max(0, (self._consumer.high_water(self._source(partition)) or 0) - offset) for partition, offset in positions.items())

    def _pause(self, paused: set[int]) -> None:
        # Compared with the client's own state, since each assignment begins with all partitions paused.
        assigned = self._consumer.assignment()
        if assigned:
            wanted, present = {source for source in assigned if source.partition in paused}, self._consumer.paused() & assigned
            self._consumer.pause(wanted - present)
            self._consumer.resume(present - wanted)

    def _source(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


class _Listener:
    """Carries the client's callbacks from its thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, patience_seconds: float) -> None:
        self._loop = loop
        self._owner = owner
        self._patience_seconds = patience_seconds

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self._loop.call_soon_threadsafe(self._owner.assigned, _numbers(partitions))

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        # Heartbeats wait meanwhile; that is why the patience is half a session.
        release = asyncio.run_coroutine_threadsafe(self._owner.released(_numbers(partitions)), self._loop)
        return _offsets(next(iter(partitions)).topic, release.result(self._patience_seconds))

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self._loop.call_soon_threadsafe(self._owner.lost, _numbers(partitions))


def _numbers(partitions: Iterable[TopicPartition]) -> set[int]:
    return {source.partition for source in partitions}


def _offsets(topic: str, commits: Commits) -> Offsets:
    return {
        TopicPartition(topic, partition): CommittedOffset(position, checkpoint.to_text())
        for partition, (position, checkpoint) in commits.items()
    }
