"""The state of the in-memory cluster: the logs of its partitions, and its groups."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from eventing.codecs.kafka import Headers, Message
from eventing.kafka.errors import BrokerUnreachable, KafkaError, RequestTimedOut
from eventing.kafka.port import CommittedOffset, TopicPartition


class Outcome(Enum):
    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction: how it ended, the partitions that it wrote to, and the offsets that it commits by group."""

    outcome: Outcome = Outcome.OPEN
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[str, dict[TopicPartition, CommittedOffset]] = field(default_factory=dict)


@dataclass(slots=True)
class Epoch:
    """The newest producer with a transactional id, by its number, and its open transaction."""

    number: int = 0
    transaction: Transaction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRecord:
    """A stored record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    transaction: Transaction | None = None
    """The one that it was sent in."""


class Member(Protocol):
    """A consumer in a group."""

    @property
    def joined(self) -> int:
        """The rebalance for which it has given up its partitions."""
        ...

    def assignment(self) -> set[TopicPartition]: ...


@dataclass(slots=True)
class Group:
    """A consumer group: its commits, its members and the number of its current rebalance."""

    committed: dict[TopicPartition, CommittedOffset] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    generation: int = 0


class Log:
    """Topics and groups. One condition guards and announces every change."""

    def __init__(self, *, partitions: int, creates_topics: bool) -> None:
        self.reachable = True
        self.refuse: Callable[[str, Message], KafkaError | None] = lambda topic, message: None
        self.arrives: Callable[[], bool] | None = None
        self.limits: dict[str, int] = {}
        self.changed = threading.Condition(threading.RLock())
        self._partitions = partitions
        self._creates_topics = creates_topics
        # None is the marker of a transaction's end, which has an offset and is no record.
        self._records: dict[TopicPartition, list[FakeRecord | None]] = {}
        self._epochs: dict[str, Epoch] = {}
        self._groups: dict[str, Group] = {}

    def check_access(self) -> None:
        if not self.reachable:
            raise BrokerUnreachable("no Kafka broker answers in memory", remedy="set `reachable`")

    def create_topic(self, topic: str, partitions: int) -> None:
        with self.changed:
            for number in range(partitions):
                self._records.setdefault(TopicPartition(topic, number), [])

    def numbers(self, topic: str) -> set[int]:
        with self.changed:
            return {partition.partition for partition in self._records if partition.topic == topic}

    def create_if_missing(self, topic: str) -> None:
        if not self.numbers(topic):
            if not self._creates_topics:
                raise RequestTimedOut(f"no metadata for {topic}")
            self.create_topic(topic, self._partitions)

    def topics(self) -> set[str]:
        with self.changed:
            return {partition.topic for partition in self._records}

    def end(self, partition: TopicPartition) -> int:
        with self.changed:
            if partition not in self._records:
                raise RequestTimedOut(f"no metadata for {partition.topic}/{partition.partition}")
            return len(self._records[partition])

    def stable_end(self, partition: TopicPartition) -> int:
        """Return the end of what no open transaction can change: the last stable offset."""
        with self.changed:
            end = self.end(partition)
            return next((offset for offset, record in enumerate(self._records[partition]) if _outcome(record) is Outcome.OPEN), end)

    def append(self, partition: TopicPartition, message: Message, transaction: Transaction | None = None) -> int:
        with self.changed:
            offset = self.end(partition)
            value = b"" if message.key is None and message.value is None else message.value
            now = int(time.time() * 1000)
            record = FakeRecord(
                topic=partition.topic,
                partition=partition.partition,
                offset=offset,
                timestamp=now,
                key=message.key,
                value=value,
                headers=list(message.headers),
                transaction=transaction,
            )
            if transaction is not None:
                transaction.partitions.add(partition)
            self._records[partition].append(record)
            self.changed.notify_all()
            return offset

    def read(self, partition: TopicPartition, offset: int, most: int, *, committed: bool = False) -> tuple[list[FakeRecord], int]:
        """Return at most so many records, and the offset to read on from. With `committed`, only of ended transactions."""
        with self.changed:
            found: list[FakeRecord] = []
            end = self.stable_end(partition) if committed else self.end(partition)
            while offset < end and len(found) < most:
                record = self._records[partition][offset]
                if record is not None and not (committed and _outcome(record) is Outcome.ABORTED):
                    found.append(record)
                offset += 1
            return found, offset

    def first_not_before(self, partition: TopicPartition, time_ms: int) -> int | None:
        """Return the offset of the first record that is not older; None if all are."""
        with self.changed:
            return next((record.offset for record in self._records[partition] if record and record.timestamp >= time_ms), None)

    def group(self, name: str) -> Group:
        with self.changed:
            return self._groups.setdefault(name, Group())

    def groups(self) -> set[str]:
        with self.changed:
            return {name for name, group in self._groups.items() if group.committed or group.members}

    def rebalance(self, group: Group) -> None:
        """Begin another generation of the group."""
        with self.changed:
            group.generation += 1
            self.changed.notify_all()

    def epoch(self, transactional_id: str) -> Epoch:
        with self.changed:
            return self._epochs.setdefault(transactional_id, Epoch())

    def end_transaction(self, epoch: Epoch, outcome: Outcome) -> None:
        """Commit or abort the open transaction of a producer."""
        with self.changed:
            transaction, epoch.transaction = epoch.transaction, None
            if transaction is None:
                return
            transaction.outcome = outcome
            for partition in transaction.partitions:
                self._records[partition].append(None)
            for group, offsets in transaction.offsets.items():
                if outcome is Outcome.COMMITTED:
                    self.group(group).committed.update(offsets)
            self.changed.notify_all()

    def holds_offset(self, group: str, partition: TopicPartition) -> bool:
        """Return whether an open transaction has an offset for this partition."""
        with self.changed:
            opened = [epoch.transaction for epoch in self._epochs.values() if epoch.transaction is not None]
            return any(partition in transaction.offsets.get(group, ()) for transaction in opened)


def _outcome(record: FakeRecord | None) -> Outcome | None:
    return record.transaction.outcome if record is not None and record.transaction is not None else None
