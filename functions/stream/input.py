"""The input topic: a group consumer on a thread of its own, and the changes of its assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from eventing.kafka.errors import NotAuthorized
from eventing.kafka.port import (
    Cluster,
    CommittedOffset,
    ConsumedRecord,
    Consumer,
    ConsumerOptions,
    GroupMetadata,
    Offsets,
    TopicPartition,
)
from functions.stream.commit import Commits
from functions.stream.gaps import Gaps
from functions.stream.report import logger
from functions.stream.settings import COOPERATIVE, LATEST, Guarantee, StreamSettings

Result = TypeVar("Result")

THREAD_NAME = "tidegate-input"
# With a longer time-out, a call to an unreachable broker would hold up the polls, and a stop.
_CALL_SECONDS = 5.0
# How soon partitions that are added to the topic are read.
METADATA_SECONDS = 5.0


class Owner(Protocol):
    """The receiver of assignment changes. All methods are called on the event loop."""

    def assigned(self, partitions: set[int]) -> None: ...

    async def released(self, partitions: set[int]) -> Commits:
        """Stop writing for these partitions and return what to commit of them, soon: their next owner waits for it."""
        ...

    def lost(self, partitions: set[int]) -> None: ...


class Input:
    """A group consumer, between `start` and `close`.

    Its client is not thread-safe, so every call runs on one thread.
    """

    def __init__(self, cluster: Cluster, settings: StreamSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, THREAD_NAME)
        self._connected: Consumer | None = None
        self._gaps = Gaps()
        self._again: Callable[[set[int]], None] = lambda partitions: None
        self.member: GroupMetadata | None = None
        """The identity to which the present partitions were assigned; None before that."""

    async def start(self, owner: Owner) -> None:
        """Connect, and join the group with the first poll. Raises BrokerUnreachable or BrokerRefused."""
        self._again = partial(_take_up_again, owner)
        self._connected = await self._run(self._connect, owner)

    async def poll(self, timeout_seconds: float, paused: set[int]) -> dict[int, Sequence[ConsumedRecord]]:
        """Return records by partition, none of the `paused` ones.

        After a long break between polls the group revokes the partitions.
        """
        records = await self._run(self._poll, timeout_seconds, paused)
        for partition in [partition for partition, batch in records.items() if not self._gaps.follows(partition, batch)]:
            # The topic was recreated. Its records are read again once the partition is taken up at its new start.
            del records[partition]
            self._again({partition})
        return records

    async def report_gaps(self) -> None:
        """Log the records that were removed from the topic before they were read."""
        for partition in self._gaps.noted():
            first, _ = await self.bounds(partition)
            removed = self._gaps.removed(partition, first)
            if removed:
                logger.error(
                    "partition %d of %s: %d records were removed before they were read;"
                    " raise the topic's retention or the number of workers",
                    partition,
                    self._settings.input,
                    removed,
                )

    async def committed(self, partition: int) -> CommittedOffset | None:
        """Return the group's offset and its metadata; None before the first commit."""
        return await self._run(self._consumer.committed, self._source(partition), _CALL_SECONDS)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the partition still has, and the next to be produced."""
        source = self._source(partition)
        first = await self._run(self._consumer.beginning_offsets, [source])
        end = await self._run(self._consumer.end_offsets, [source], _CALL_SECONDS)
        return first[source], end[source]

    async def seek(self, partition: int, offset: int) -> None:
        await self._run(self._consumer.seek, self._source(partition), offset)
        self._gaps.sought(partition, offset)

    async def commit(self, commits: Commits) -> None:
        """Raises KafkaError, such as CommitRefused while the partitions are being moved to another member."""
        await self._run(self._consumer.commit, _offsets(self._settings.input, commits), _CALL_SECONDS)

    def positions(self) -> dict[int, int | None]:
        """Return the next offset to fetch, by assigned partition. Does not wait for the client's thread."""
        return {} if self._connected is None else {source.partition: offset for source, offset in self._connected.positions().items()}

    @property
    def is_member(self) -> bool:
        """Whether the group has accepted this process and is not rebalancing. Does not wait for the client's thread."""
        return self._connected is not None and self._connected.is_member

    async def behind(self, positions: Mapping[int, int]) -> int:
        """Return how many records are beyond these positions, as of the last fetches."""
        return await self._run(self._behind, positions)

    async def close(self, timeout_seconds: float) -> None:
        """Leave the group, after the owner has released its partitions. Raises TimeoutError or KafkaError."""
        closing = self._run(self._consumer.close, timeout_seconds)
        try:
            await asyncio.wait_for(closing, timeout_seconds)
        finally:
            self._thread.shutdown(wait=False)

    @property
    def _consumer(self) -> Consumer:
        if self._connected is None:
            raise RuntimeError("the input was not started.")
        return self._connected

    async def _run(self, call: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await self._loop.run_in_executor(self._thread, call, *arguments)
        except NotAuthorized as error:
            names = f"the topic {self._settings.input} in the group {self._settings.group}"
            raise NotAuthorized(f"this user may not read {names} ({str(error).rstrip('.')}); grant it Read on both.") from None

    def _connect(self, owner: Owner) -> Consumer:
        settings = self._settings
        consumer = self._cluster.consumer(
            ConsumerOptions(
                group=settings.group,
                instance=settings.instance,
                latest=settings.reset == LATEST,
                cooperative=settings.rebalance == COOPERATIVE,
                session_timeout_seconds=settings.session_timeout_seconds,
                # Polls never wait for the model, so this can be short: a lost request to join is waited for 5 s longer.
                max_poll_interval_seconds=25.0,
                max_poll_records=4 * settings.batch_size,
                metadata_max_age_seconds=METADATA_SECONDS,
                read_committed=settings.delivery is Guarantee.EXACTLY_ONCE,
            )
        )
        listener = _Listener(self._loop, owner, settings.session_timeout_seconds / 2, lambda: self._note_member(consumer))
        consumer.subscribe(settings.input, listener)
        return consumer

    def _note_member(self, consumer: Consumer) -> None:
        self._loop.call_soon_threadsafe(setattr, self, "member", consumer.group_metadata())

    def _poll(self, timeout_seconds: float, paused: set[int]) -> dict[int, Sequence[ConsumedRecord]]:
        self._pause(paused)
        records = self._consumer.poll(timeout_seconds)
        return {source.partition: batch for source, batch in records.items()}

    def _behind(self, positions: Mapping[int, int]) -> int:
        return sum(max(0, (self._consumer.high_water(self._source(partition)) or 0) - offset) for partition, offset in positions.items())

    def _pause(self, paused: set[int]) -> None:
        # Compared with the client's own state, since each assignment begins with all partitions paused.
        assigned = self._consumer.assignment()
        wanted = {source for source in assigned if source.partition in paused}
        current = self._consumer.paused() & assigned
        if wanted != current:
            self._consumer.pause(wanted - current)
            self._consumer.resume(current - wanted)

    def _source(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.input, partition)


def _take_up_again(owner: Owner, partitions: set[int]) -> None:
    owner.lost(partitions)
    owner.assigned(partitions)


class _Listener:
    """Carries the client's callbacks from its thread to the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, owner: Owner, release_seconds: float, joined: Callable[[], None] = lambda: None
    ) -> None:
        """`joined` is called on the client's thread, before the owner is given its partitions."""
        self._loop = loop
        self._owner = owner
        self._release_seconds = release_seconds
        self._joined = joined

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self._joined()
        self._loop.call_soon_threadsafe(self._owner.assigned, _numbers(partitions))

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        # Heartbeats wait meanwhile; that is why the time-out is half a session.
        release = asyncio.run_coroutine_threadsafe(self._owner.released(_numbers(partitions)), self._loop)
        return _offsets(next(iter(partitions)).topic, release.result(self._release_seconds))

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self._loop.call_soon_threadsafe(self._owner.lost, _numbers(partitions))


def _numbers(partitions: Iterable[TopicPartition]) -> set[int]:
    return {source.partition for source in partitions}


def _offsets(topic: str, commits: Commits) -> Offsets:
    return {TopicPartition(topic, partition): offset for partition, offset in commits.items()}
