from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, CommittedOffset, Consumer, ConsumerOptions, TopicPartition
from tidegate import publishing
from tidegate.local.broker import reachable
from tidegate.publishing import EMBEDDED_MAX_LAG, Publisher

TOPIC, GROUP = "rows", "tidegate-rows"
ROW = Message(b"one key", bytes(50_000), [])


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with reachable(None) as found:
        yield found.broker


def publish(broker: Broker, count: int) -> None:
    with Publisher(broker, TOPIC, group=GROUP, max_lag=EMBEDDED_MAX_LAG) as publisher:
        for _ in range(count):
            publisher.send(ROW)


def finish(consumer: Consumer, partition: TopicPartition, offset: int) -> None:
    consumer.commit({partition: CommittedOffset(offset)})


def reader(broker: Broker) -> Consumer:
    """A group that has committed offsets, as a stream worker does at its start."""
    cluster = cluster_of(broker)
    with closing(cluster.producer()) as producer:  # metadata of a topic creates it
        partitions = [TopicPartition(TOPIC, number) for number in producer.partitions_for(TOPIC)]
    consumer = cluster.consumer(ConsumerOptions(group=GROUP, max_poll_records=10))
    consumer.assign(partitions)
    for partition in partitions:
        finish(consumer, partition, 0)
    return consumer


def read(consumer: Consumer, count: int, pause: Callable[[], None]) -> list[int]:
    """The offsets of `count` records of any partition, or of fewer if no more arrive."""
    offsets: list[int] = []
    while len(offsets) < count and (batches := consumer.poll(5.0)):
        for partition, records in batches.items():
            offsets += [record.offset for record in records]
            pause()
            finish(consumer, partition, offsets[-1] + 1)
    return offsets


async def test_slow_reader_gets_all_large_rows(broker: Broker) -> None:
    count = 300
    consumer = await asyncio.to_thread(reader, broker)
    publishing_ = asyncio.create_task(asyncio.to_thread(publish, broker, count))
    try:
        # Three times what the broker keeps, read more slowly than written: the slowness itself is tested.
        offsets = await asyncio.to_thread(read, consumer, count, lambda: time.sleep(0.005))
    finally:
        await asyncio.to_thread(consumer.close)
    await publishing_
    assert offsets == list(range(count))


async def test_reader_without_progress_is_logged(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = threading.Event()
    monkeypatch.setattr(publishing, "_WARN_SECONDS", 0.1)
    monkeypatch.setattr(publishing.log, "warning", lambda *_: logged.set())
    consumer = await asyncio.to_thread(reader, broker)
    publishing_ = asyncio.create_task(asyncio.to_thread(publish, broker, 100))
    try:
        assert await asyncio.to_thread(logged.wait, 20)
        assert not publishing_.done()
        await asyncio.to_thread(read, consumer, 100, lambda: None)
    finally:
        await asyncio.to_thread(consumer.close)
    await publishing_
