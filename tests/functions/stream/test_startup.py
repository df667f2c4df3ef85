"""The start of a worker on a cluster in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.producer import FakeProducer
from eventing.kafka.port import DEFAULT_PRODUCER, Broker, ProducerOptions
from functions.stream import startup
from functions.stream.health import Health
from functions.stream.limits import TopicTooSmall
from functions.stream.settings import StreamSettings

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://127.0.0.1:1/models/m"
)


class CountingCluster(FakeCluster):
    """Keeps its producers, by the size of their batches."""

    def __init__(self, *, creates_topics: bool = True) -> None:
        super().__init__(creates_topics=creates_topics)
        self.opened: list[tuple[int | None, FakeProducer]] = []

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> FakeProducer:
        self.opened.append((options.batch_bytes, super().producer(options)))
        return self.opened[-1][1]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[FakeProducer]:
    """The producers that were closed."""
    found: list[FakeProducer] = []

    def close(self: FakeProducer, timeout_seconds: float = 5.0) -> None:
        found.append(self)

    monkeypatch.setattr(FakeProducer, "close", close)
    return found


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 the worker sets no event
        await asyncio.sleep(0.01)


async def start_and_stop(cluster: FakeCluster) -> None:
    health, stop = Health(), asyncio.Event()
    running = asyncio.create_task(startup.run(SETTINGS, stop, health, cluster))
    await until(lambda: not health.unready or running.done())
    stop.set()
    await running


async def test_missing_topics_are_created_and_one_producer_finds_and_writes_them(closed: list[FakeProducer]) -> None:
    cluster = CountingCluster()
    await start_and_stop(cluster)
    assert cluster.consumer().topics() == {"in", "out", "dead"}
    ((batch_bytes, producer),) = cluster.opened
    assert batch_bytes == 65_536
    assert closed == [producer]


@pytest.mark.parametrize("topic", ["out", "dead"])
async def test_batches_are_no_larger_than_the_smallest_topic_accepts(topic: str, closed: list[FakeProducer]) -> None:
    cluster = CountingCluster()
    cluster.create_topic(topic, 1, max_message_bytes=20_000)
    await start_and_stop(cluster)
    sizes, producers = zip(*cluster.opened, strict=True)
    assert sizes == (65_536, 20_000)
    assert closed == list(producers)


async def test_topic_too_small_for_dead_letters_closes_the_producer(closed: list[FakeProducer]) -> None:
    cluster = CountingCluster()
    cluster.create_topic("dead", 1, max_message_bytes=9000)
    with pytest.raises(TopicTooSmall):
        await startup.run(SETTINGS, asyncio.Event(), Health(), cluster)
    assert closed == [producer for _, producer in cluster.opened]


async def test_worker_is_unready_until_its_topics_exist_and_stops_meanwhile(closed: list[FakeProducer]) -> None:
    cluster, health, stop = CountingCluster(creates_topics=False), Health(), asyncio.Event()
    running = asyncio.create_task(startup.run(SETTINGS, stop, health, cluster))
    await until(lambda: health.unready == "a topic is missing.")
    stop.set()
    await running
    assert closed == [producer for _, producer in cluster.opened]
