from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from eventing.kafka.errors import NotAuthorized
from eventing.kafka.port import Broker, CommittedOffset, ConsumerOptions, Offsets, TopicPartition
from functions.stream.commit import Commits
from functions.stream.input import Input, _Listener
from functions.stream.settings import COOPERATIVE, LATEST, StreamSettings

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)
SOURCE = TopicPartition("in", 0)


class Owner:
    def __init__(self) -> None:
        self.changes: list[tuple[str, set[int]]] = []

    def assigned(self, partitions: set[int]) -> None:
        self.changes.append(("assigned", partitions))

    async def released(self, partitions: set[int]) -> Commits:
        return {partition: CommittedOffset(partition * 10, "checkpoint") for partition in partitions}

    def lost(self, partitions: set[int]) -> None:
        self.changes.append(("lost", partitions))


@dataclass(frozen=True)
class Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    timestamp: int = 0


class Scripted:
    """A cluster whose consumer returns these offsets, one poll after the other; `first` is the oldest that is left."""

    def __init__(self, *polls: list[int], first: int = 0) -> None:
        self.polls = list(polls)
        self.first = first
        self.options: ConsumerOptions | None = None
        self.error: Exception | None = None

    def consumer(self, options: ConsumerOptions) -> Any:
        self.options = options
        return self

    def subscribe(self, topic: str, listener: object) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {SOURCE}

    def paused(self) -> set[TopicPartition]:
        return set()

    def pause(self, partitions: set[TopicPartition]) -> None: ...

    def resume(self, partitions: set[TopicPartition]) -> None: ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, list[Record]]:
        if self.error is not None:
            raise self.error
        return {SOURCE: [Record(offset) for offset in self.polls.pop(0)]}

    def beginning_offsets(self, partitions: object) -> dict[TopicPartition, int]:
        return {SOURCE: self.first}

    def end_offsets(self, partitions: object, timeout_seconds: float | None = None) -> dict[TopicPartition, int]:
        return {SOURCE: 100}


async def started(cluster: Any, owner: Owner, settings: StreamSettings = SETTINGS) -> Input:
    found = Input(cluster, settings)
    await found.start(owner)
    await found.seek(0, 0)
    return found


async def test_records_that_were_removed_while_others_were_read_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Scripted([0, 1], [10, 11], [20])
    reader = await started(cluster, Owner())
    for _ in range(2):
        await reader.poll(0.0, set())
    await reader.report_gaps()
    assert caplog.messages == []  # compaction has left them out
    cluster.first = 17
    await reader.poll(0.0, set())
    await reader.report_gaps()
    await reader.report_gaps()
    assert [message.partition(";")[0] for message in caplog.messages] == ["partition 0 of in: 5 records were removed before they were read"]


async def test_partition_whose_offsets_go_back_is_taken_up_again() -> None:
    owner = Owner()
    reader = await started(Scripted([0, 1], [0]), owner)
    assert list(await reader.poll(0.0, set())) == [0]
    assert await reader.poll(0.0, set()) == {}
    assert owner.changes == [("lost", {0}), ("assigned", {0})]


async def test_missing_right_names_the_topic_and_the_group() -> None:
    cluster = Scripted()
    reader = await started(cluster, Owner())
    cluster.error = NotAuthorized("Broker: Group authorization failed")
    with pytest.raises(NotAuthorized, match=r"this user may not read the topic in in the group g \(.*\); grant it Read on both"):
        await reader.poll(0.0, set())


async def test_settings_reach_the_consumer() -> None:
    cluster = Scripted()
    await started(cluster, Owner(), replace(SETTINGS, instance="worker-0", rebalance=COOPERATIVE, reset=LATEST))
    assert cluster.options is not None
    assert (cluster.options.instance, cluster.options.cooperative, cluster.options.latest) == ("worker-0", True, True)


async def test_revoked_returns_the_offsets_of_the_owner() -> None:
    listener = _Listener(asyncio.get_running_loop(), Owner(), 5)
    offsets: Offsets = await asyncio.to_thread(listener.revoked, [TopicPartition("in", 1), TopicPartition("in", 2)])
    assert offsets == {TopicPartition("in", number): CommittedOffset(10 * number, "checkpoint") for number in (1, 2)}
