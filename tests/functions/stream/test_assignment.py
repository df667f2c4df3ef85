"""The partitions of a worker on a cluster in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection
from types import SimpleNamespace

import pytest

from eventing.codecs.kafka import Message
from eventing.deadletter import Rejection
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker, CommittedOffset, ConsumerOptions, TopicPartition
from eventing.reply import Problem
from functions.stream.assignment import Assignment
from functions.stream.commit import CheckpointCommits
from functions.stream.input import Input
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics
from functions.stream.writer import Writer

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"),
    input="in",
    output="out",
    deadletter="dead",
    group="g",
    model="m",
    sink="http://sink/models/m",
    batch_size=2,
    in_flight=1,
)


class Started:
    """An assignment in a group of one member, with two partitions."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(partitions=2)
        producer = self.cluster.producer()
        for topic in ("in", "out", "dead"):
            assert producer.partitions_for(topic) == {0, 1}
        for number in range(10):
            producer.send("in", Message(None, b"%d" % number, []), 0)
        self.failures: list[Exception] = []
        self.pending: deque[PendingRecord] = deque()
        self.input = Input(self.cluster, SETTINGS)
        writer = Writer(producer, SETTINGS, Topics({"out": 2, "dead": 2}), self.failures.append)
        self.commits = CheckpointCommits(self.cluster, SETTINGS, self.input, writer.targets)
        self.writer = writer
        self.assignment = Assignment(SETTINGS, self.input, writer, self.commits)

    async def poll(self) -> list[PartitionTracker]:
        """Add the records of a poll to their trackers, which are returned."""
        records = await self.input.poll(0.0, self.assignment.unread)
        trackers = [self.assignment.trackers[partition] for partition in records]
        for partition, batch in records.items():
            for record in batch:
                pending = self.assignment.trackers[partition].add(record)
                assert pending is not None
                self.pending.append(pending)
        return trackers

    async def committed(self) -> CommittedOffset | None:
        return self.cluster.consumer(ConsumerOptions(group="g")).committed(TopicPartition("in", 0))

    async def finish(self, tracker: PartitionTracker, count: int) -> None:
        resolved = [self.pending.popleft() for _ in range(count)]
        for pending in resolved:
            pending.result = Rejection(Problem(400, "invalid event", "broken."), 1)
        self.writer.write(tracker, tracker.take(resolved).written)
        assert await self.writer.drain({tracker.partition}, 5.0)


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    found = Started()
    await found.input.start(found.assignment)
    while found.assignment.is_empty:
        await found.input.poll(0.1, set())
    yield found
    await found.input.close(5.0)


async def test_new_partition_is_read_after_it_is_recovered_and_committed(started: Started) -> None:
    assignment = started.assignment
    assert assignment.unread == {0, 1}
    assert await started.poll() == []
    await assignment.take_up()
    assert (assignment.unread, set(assignment.trackers), assignment.taken_up) == (set(), {0, 1}, 2)
    committed = await started.committed()
    assert committed is not None
    assert (committed.offset, bool(committed.metadata)) == (0, True)
    (tracker,) = await started.poll()
    assert (tracker.partition, len(tracker)) == (0, SETTINGS.backlog)


async def test_partition_revoked_during_its_recovery_is_not_taken_up(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    take_up = started.commits.take_up

    async def revoked_meanwhile(partitions: Collection[int]) -> dict[int, PartitionTracker]:
        trackers = await take_up(partitions)
        started.assignment.lost(set(partitions))
        return trackers

    monkeypatch.setattr(started.commits, "take_up", revoked_meanwhile)
    await started.assignment.take_up()
    assert started.assignment.is_empty
    assert await started.committed() is None


async def test_partition_is_paused_at_its_backlog_until_half_of_it_is_finished(started: Started) -> None:
    assignment = started.assignment
    await assignment.take_up()
    (tracker,) = await started.poll()
    assignment.update_pauses()
    assert assignment.paused == assignment.unread == {0}
    await started.finish(tracker, 3)
    assignment.update_pauses()
    assert assignment.paused == {0}
    await started.finish(tracker, 1)
    assignment.update_pauses()
    assert assignment.paused == set()


async def test_records_that_wait_for_a_retry_leave_room_for_others_of_their_partition(started: Started) -> None:
    assignment = started.assignment
    await assignment.take_up()
    tracker = assignment.trackers[0]
    most, busy = SETTINGS.backlog, SETTINGS.backlog_of(1)
    assert busy >= 2, "or the test shows nothing"
    first = tracker.add(SimpleNamespace(topic="in", partition=0, offset=0, key=b"k", value=b"", headers=[]))
    assert first is not None
    first.attempts = 1
    for offset in range(1, most - 1):
        tracker.add(SimpleNamespace(topic="in", partition=0, offset=offset, key=b"k", value=b"", headers=[]))
    assert (len(tracker), tracker.busy) == (most - 1, 1)
    assignment.update_pauses()
    assert assignment.paused == set()
    tracker.add(SimpleNamespace(topic="in", partition=0, offset=most - 1, key=b"k", value=b"", headers=[]))
    assignment.update_pauses()
    assert assignment.paused == {0}


async def test_released_partition_returns_what_is_finished(started: Started) -> None:
    assignment = started.assignment
    await assignment.take_up()
    (tracker,) = await started.poll()
    await started.finish(tracker, 4)
    commits = await assignment.released({0})
    assert commits[0].offset == 4
    assert tracker.closed
    assert set(assignment.trackers) == {1}
    assert started.failures == []


async def test_lost_partition_is_dropped_without_a_commit(started: Started) -> None:
    assignment = started.assignment
    await assignment.take_up()
    (tracker,) = await started.poll()
    assignment.update_pauses()
    await started.finish(tracker, 4)
    assignment.lost({0, 1})
    assert assignment.is_empty
    assert assignment.paused == set()
    assert tracker.closed
    committed = await started.committed()
    assert committed is not None
    assert committed.offset == 0
