"""Reads a topic for one consumer group: from memory what was just written here, everything else from Kafka.

The group holds the committed offsets; its partitions are assigned rather than balanced. Reading starts at once, and
after a SIGKILL no session has to expire first. Two processes with one group therefore both read everything, which each
notices by the commits of the other.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import NamedTuple, TypeVar

from common.errors import InvalidEvent
from eventing.event import Event
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster, CommittedOffset, ConsumedRecord, Consumer, ConsumerOptions, TopicPartition
from tidegate.local.eventing.kafka.recent import Recent

log = logging.getLogger("tidegate.eventing")

# What this process writes beside the offsets that it commits.
_PROCESS = f"tidegate up {uuid.uuid4().hex}"

Result = TypeVar("Result")
Decode = Callable[[ConsumedRecord], Event]
_Records = Mapping[TopicPartition, Sequence[ConsumedRecord]]

# Attributes that say where an event was read, as Knative's data plane adds them (`CloudEventOverridesMutator`).
PARTITION, OFFSET = "knativekafkapartition", "knativekafkaoffset"
# Records that others write are noticed within this time on a broker that answers a fetch late, at once on Apache Kafka.
_FETCH_SECONDS = 0.25
# Partitions that were added to a topic are noticed within this time. In Knative it is 10 min.
_METADATA_SECONDS = 10.0
_CALL_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_MAX_RECORDS = 500


class Start(Enum):
    """An end of a topic."""

    EARLIEST = "earliest"
    LATEST = "latest"


Origin = Start | Mapping[int, int]
"""Where a group without offsets starts: at an end of the topic, or at offsets by partition."""


class Incoming(NamedTuple):
    """A record that was read; without an event if it is none."""

    partition: TopicPartition
    offset: int
    event: Event | None


class Reader:
    """The records of a topic, in the order of each partition, from the group's offsets on.

    Its methods belong to the event loop's thread; the consumer has a thread of its own.
    """

    def __init__(self, cluster: Cluster, topic: str, group: str, decode: Decode, recent: Recent | None = None) -> None:
        self._cluster = cluster
        self._topic = topic
        self._group = group
        self._decode = decode
        self._recent = recent or Recent()
        self._thread = ThreadPoolExecutor(1, f"reader-{group}")
        self._consumer: Consumer | None = None
        self._next: dict[TopicPartition, int] = {}
        self._fetched: dict[TopicPartition, deque[ConsumedRecord]] = {}
        self._process = _PROCESS
        self._writers: dict[TopicPartition, str] = {}
        self._shared = False
        self._behind = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The offset to read next, by partition."""
        return self._next

    async def start(self, partitions: Collection[int], start: Origin, notify: Callable[[], None], *, reset: bool = False) -> None:
        """Connect and find the position in each partition. Raises KafkaError or BrokerRefused.

        A partition without a committed offset gets one at once, so that no record is missed after a crash; with `reset`
        every partition counts as one without. A partition that is added later is read from its first record. `notify` is
        called whenever records were fetched.
        """
        sources = [TopicPartition(self._topic, number) for number in sorted(partitions)]
        self._next = await self._run(self._connect, sources, start, reset)
        self._fetched = {source: deque() for source in sources}
        self._fetching = asyncio.create_task(self._fetch_repeatedly(notify))

    def read(self, partition: TopicPartition) -> Incoming | None:
        """Return the next record of a partition, or None if there is none in memory."""
        fetched, following = self._fetched[partition], self._next[partition]
        while fetched and fetched[0].offset < following:  # read from memory meanwhile
            fetched.popleft()
        if fetched:
            record = fetched.popleft()
            return self._read(partition, record.offset, self._decoded(record))
        event = self._recent.get(partition.partition, following)
        if event is not None:
            return self._read(partition, following, event)
        if self._recent.end(partition.partition) > following:
            self._behind.set()
        return None

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit positions of the group. Raises KafkaError."""
        await self._run(self._commit, positions)

    async def close(self) -> None:
        """Stop to fetch, and disconnect."""
        if self._fetching is not None:
            self._fetching.cancel()
        try:
            # In the thread, after a connection that a cancelled `start` has left to it.
            await self._run(self._close)
        except KafkaError as error:
            log.info("the reader of %s was not closed in order (%s)", self._topic, error)
        finally:
            self._thread.shutdown(wait=False)

    @property
    def _client(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("the reader was not started.")
        return self._consumer

    def _read(self, source: TopicPartition, offset: int, event: Event | None) -> Incoming:
        self._next[source] = offset + 1
        return Incoming(source, offset, event and event.with_attributes(**{PARTITION: source.partition, OFFSET: offset}))

    def _decoded(self, record: ConsumedRecord) -> Event | None:
        try:
            return self._decode(record)
        except InvalidEvent as error:
            log.warning("the record at %s/%d/%d is skipped: %s", record.topic, record.partition, record.offset, error)
            return None

    async def _fetch_repeatedly(self, notify: Callable[[], None]) -> None:
        """Fetch what is not in memory, at once if it is known that there is something, and else from time to time."""
        while True:
            try:
                await self._fetch(notify)
                async with asyncio.timeout(_FETCH_SECONDS):
                    await self._behind.wait()
            except TimeoutError:
                pass
            except KafkaError as error:
                log.warning("Kafka does not return the records of %s (%s); trying again", self._topic, error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _fetch(self, notify: Callable[[], None]) -> None:
        self._behind.clear()
        wanted = {source: self._next[source] for source, waiting in self._fetched.items() if not waiting}
        if not wanted:
            return
        added, found = await self._run(self._poll, wanted)
        self._next |= added
        self._fetched |= {source: deque() for source in added}
        for source, records in found.items():
            self._fetched[source].extend(records)
        if found or added:
            notify()

    async def _run(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _connect(self, sources: list[TopicPartition], start: Origin, reset: bool) -> dict[TopicPartition, int]:
        options = ConsumerOptions(group=self._group, max_poll_records=_MAX_RECORDS, metadata_max_age_seconds=_METADATA_SECONDS)
        consumer = self._consumer = self._cluster.consumer(options)
        consumer.assign(sources)
        committed = {} if reset else self._committed(consumer, sources)
        # Partitions are numbered in the order in which they are added: these were, while nothing read the topic.
        later = [source for source in sources if committed and source > max(committed)]
        missing = [source for source in sources if source not in committed and source not in later]
        found = committed | self._begin(consumer, missing, start) | self._begin(consumer, later, Start.EARLIEST)
        for source, offset in found.items():
            consumer.seek(source, offset)
        return found

    def _add_partitions(self, consumer: Consumer) -> dict[TopicPartition, int]:
        """Read new partitions of the topic as well, as far as the consumer knows of them, and return their positions."""
        numbers = consumer.partitions_for(self._topic)
        new = [source for number in sorted(numbers) if (source := TopicPartition(self._topic, number)) not in self._fetched]
        if not new:
            return {}
        log.info("the topic %s has new partitions: %s", self._topic, ", ".join(str(source.partition) for source in new))
        consumer.assign([*self._fetched, *new])
        committed = self._committed(consumer, new)
        return committed | self._begin(consumer, [source for source in new if source not in committed], Start.EARLIEST)

    def _committed(self, consumer: Consumer, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        found = {source: committed for source in sources if (committed := consumer.committed(source, _CALL_SECONDS))}
        self._writers |= {source: committed.metadata for source, committed in found.items()}
        return {source: committed.offset for source, committed in found.items()}

    def _begin(self, consumer: Consumer, sources: list[TopicPartition], start: Origin) -> dict[TopicPartition, int]:
        """Commit and return the positions at which the group begins to read these partitions."""
        offsets = _offsets(consumer, sources, start) if sources else {}
        if offsets:
            self._write(consumer, offsets)
        return offsets

    def _commit(self, positions: Mapping[TopicPartition, int]) -> None:
        consumer = self._client
        if not self._shared:
            source = next(iter(positions))
            found = consumer.committed(source, _CALL_SECONDS)
            self._shared = found is not None and found.metadata != self._writers.get(source)
            if self._shared:
                log.warning(
                    "another process commits the offsets of the group %s, and so delivers the events of %s too; "
                    "stop it, or start this one with another Kafka (--bootstrap-servers).",
                    self._group,
                    self._topic,
                )
        self._write(consumer, positions)

    def _write(self, consumer: Consumer, positions: Mapping[TopicPartition, int]) -> None:
        consumer.commit({source: CommittedOffset(offset, self._process) for source, offset in positions.items()}, _CALL_SECONDS)
        self._writers |= dict.fromkeys(positions, self._process)

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(_CLOSE_SECONDS)

    def _poll(self, wanted: Mapping[TopicPartition, int]) -> tuple[dict[TopicPartition, int], _Records]:
        """Return the positions of partitions that were added, and the next records."""
        consumer = self._client
        added = self._add_partitions(consumer)
        wanted = {**wanted, **added}
        others = consumer.assignment() - wanted.keys()
        consumer.pause(others - consumer.paused())
        consumer.resume(consumer.paused() & wanted.keys())
        positions = consumer.positions()
        for source, offset in wanted.items():
            if positions.get(source) != offset:
                consumer.seek(source, offset)
        return added, consumer.poll(_FETCH_SECONDS)


def _offsets(consumer: Consumer, sources: list[TopicPartition], start: Origin) -> dict[TopicPartition, int]:
    if isinstance(start, Mapping):
        return {source: start[source.partition] for source in sources}
    return consumer.end_offsets(sources) if start is Start.LATEST else consumer.beginning_offsets(sources)
