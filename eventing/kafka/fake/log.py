"""The state of the in-memory cluster: the logs of its partitions, and its groups."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from eventing.codecs.kafka import Headers, Message
from eventing.kafka.errors import BrokerUnreachable, KafkaError, RequestTimedOut
from eventing.kafka.port import CommittedOffset, TopicPartition


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
        self.limits: dict[str, int] = {}
        self.changed = threading.Condition(threading.RLock())
        self._partitions = partitions
        self._creates_topics = creates_topics
        self._records: dict[TopicPartition, list[FakeRecord]] = {}
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

    def append(self, partition: TopicPartition, message: Message) -> int:
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
            )
            self._records[partition].append(record)
            self.changed.notify_all()
            return offset

    def read(self, partition: TopicPartition, offset: int, most: int) -> list[FakeRecord]:
        with self.changed:
            return self._records[partition][offset : offset + most]

    def first_not_before(self, partition: TopicPartition, time_ms: int) -> int | None:
        """Return the offset of the first record that is not older; None if all are."""
        with self.changed:
            return next((record.offset for record in self._records[partition] if record.timestamp >= time_ms), None)

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
