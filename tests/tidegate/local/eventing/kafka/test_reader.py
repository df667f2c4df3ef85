from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.codecs import kafka
from eventing.event import Event
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import TopicPartition
from tests.tidegate.local.eventing.harness import as_sent, event, until
from tidegate.local.eventing.kafka.reader import Reader, Start
from tidegate.local.eventing.kafka.recent import Recent
from tidegate.local.eventing.kafka.topic import EventTopic
from tidegate.local.eventing.kafka.writer import Writer

TOPIC = "events"


class Reading:
    """A reader of the whole topic, and the events that it has returned, by partition."""

    def __init__(self, cluster: FakeCluster, recent: Recent | None = None) -> None:
        self.reader = Reader(cluster, TOPIC, "group", kafka.decode_verbatim, recent)
        self.found: dict[int, list[Event | None]] = {}

    async def start(self, start: Start = Start.EARLIEST, **options: Any) -> Reading:
        await self.reader.start({0, 1}, start, self.read, **options)
        return self

    def read(self) -> None:
        for source in list(self.reader.positions):
            while incoming := self.reader.read(source):
                self.found.setdefault(source.partition, []).append(incoming.event and as_sent(incoming.event)[0])

    @property
    def count(self) -> int:
        self.read()
        return sum(map(len, self.found.values()))

    async def commit(self) -> None:
        await self.reader.commit(self.reader.positions)
        await self.reader.close()


def publish(cluster: FakeCluster, *events: Event, partition: int | None = None) -> None:
    producer = cluster.producer()
    for item in events:
        producer.send(TOPIC, kafka.encode(item), partition)


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.create_topic(TOPIC, 2)
    return found


async def test_group_without_offsets_starts_at_either_end(cluster: FakeCluster) -> None:
    publish(cluster, event(1))
    latest, earliest = Reading(cluster), Reading(cluster)
    await latest.start(Start.LATEST)
    publish(cluster, event(2))
    await until(lambda: latest.count == 1)
    await latest.reader.close()

    await earliest.start(Start.EARLIEST, reset=True)

    await until(lambda: earliest.count == 2)
    await earliest.reader.close()


async def test_position_is_committed_before_the_first_record(cluster: FakeCluster) -> None:
    killed = await Reading(cluster).start(Start.LATEST)
    publish(cluster, event(1))
    await killed.reader.close()

    restarted = await Reading(cluster).start(Start.LATEST)

    await until(lambda: restarted.count == 1)
    await restarted.reader.close()


async def test_reader_continues_at_the_committed_offsets(cluster: FakeCluster) -> None:
    publish(cluster, event(1))
    first = await Reading(cluster).start()
    await until(lambda: first.count == 1)
    await first.commit()
    publish(cluster, event(2), event(3))

    second = await Reading(cluster).start()

    await until(lambda: second.count == 2)
    await second.reader.close()


async def test_what_memory_has_dropped_is_fetched(cluster: FakeCluster) -> None:
    topic = EventTopic(TOPIC, Writer(cluster.producer()), {0: 0, 1: 0})
    topic.recent = Recent(max_records=2)
    reading = await Reading(cluster, topic.recent).start()
    for number in range(20):
        await topic.append(event(number, partitionkey="k"))

    await until(lambda: reading.count == 20)

    assert list(reading.found.values()) == [[event(number, partitionkey="k") for number in range(20)]]
    await reading.reader.close()


async def test_reader_goes_on_when_kafka_is_back(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.local.eventing.kafka.reader._PAUSE_SECONDS", 0.01)
    reading = await Reading(cluster).start()
    publish(cluster, event(1))
    cluster.set_reachable(False)
    await asyncio.sleep(0.05)
    cluster.set_reachable(True)

    await until(lambda: reading.count == 1)
    await reading.reader.close()


async def test_partition_that_is_added_is_read_from_its_first_record(cluster: FakeCluster) -> None:
    reading = await Reading(cluster).start(Start.LATEST)
    cluster.create_topic(TOPIC, 4)
    publish(cluster, event(1), partition=3)

    await until(lambda: reading.count == 1)
    await reading.commit()
    publish(cluster, event(2), partition=3)

    restarted = Reading(cluster)
    await restarted.reader.start(range(4), Start.LATEST, restarted.read)
    await until(lambda: restarted.count == 1)
    assert restarted.found == {3: [event(2)]}
    await restarted.reader.close()


async def test_partition_that_was_added_while_nothing_read_is_read_from_its_first_record(cluster: FakeCluster) -> None:
    await (await Reading(cluster).start(Start.LATEST)).commit()
    cluster.create_topic(TOPIC, 3)
    publish(cluster, event(1), partition=2)

    restarted = Reading(cluster)
    await restarted.reader.start(range(3), Start.LATEST, restarted.read)

    await until(lambda: restarted.count == 1)
    await restarted.reader.close()


async def test_two_processes_with_one_group_notice_each_other(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def read_and_commit(reading: Reading, count: int) -> None:
        await until(lambda: reading.count == count)
        await reading.reader.commit(reading.reader.positions)

    ours = await Reading(cluster).start()
    monkeypatch.setattr("tidegate.local.eventing.kafka.reader._PROCESS", "another")
    theirs = await Reading(cluster).start()
    for number in (1, 2, 3):
        publish(cluster, event(number))
        await read_and_commit(ours, number)
        await read_and_commit(theirs, number)

    warning = "another process commits the offsets of the group group, and so delivers the events of events too; stop it, or"
    assert [warning in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [True, True]
    await ours.reader.close()
    await theirs.reader.close()


async def test_process_after_another_one_is_no_second_one(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for process in ("first", "second"):
        monkeypatch.setattr("tidegate.local.eventing.kafka.reader._PROCESS", process)
        publish(cluster, event(1))
        reading = await Reading(cluster).start()
        await until(lambda: reading.count == 1)  # noqa: B023 awaited at once
        await reading.commit()

    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_record_that_is_no_event_is_skipped_with_a_warning(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.producer().send(TOPIC, kafka.Message(None, b"text", []), 0)
    publish(cluster, event(1), partition=0)
    reading = await Reading(cluster).start()

    await until(lambda: reading.count == 2)

    assert reading.found == {0: [None, event(1)]}
    assert "the record at events/0/0 is skipped: the event has no id" in caplog.text
    await reading.reader.close()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.booleans()), max_size=25), st.integers(1, 5))
def test_records_of_all_writers_are_read_once_and_in_order(writes: list[tuple[bool, str, bool]], kept: int) -> None:
    """Each write is by this process or another one, and the reader may read after it."""

    async def run() -> None:
        cluster = FakeCluster()
        cluster.create_topic(TOPIC, 2)
        topic = EventTopic(TOPIC, Writer(cluster.producer()), {0: 0, 1: 0})
        topic.recent = Recent(max_records=kept)
        reading = await Reading(cluster, topic.recent).start()
        for number, (own, key, read) in enumerate(writes):
            item = event(number, partitionkey=key)
            if own:
                await topic.append(item)
            else:
                publish(cluster, item)
            if read:
                reading.read()
        await until(lambda: reading.count >= len(writes))
        await reading.reader.close()
        numbers = {partition: [int(item.id[1:]) for item in found if item] for partition, found in reading.found.items()}
        assert sorted(number for found in numbers.values() for number in found) == list(range(len(writes)))
        assert all(found == sorted(found) for found in numbers.values())
        assert reading.reader.positions == {TopicPartition(TOPIC, number): len(reading.found.get(number, [])) for number in (0, 1)}

    asyncio.run(run())
