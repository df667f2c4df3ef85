from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from eventing.kafka.errors import BrokerRefused, NotAuthorized
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.producer import FakeProducer
from eventing.kafka.port import Broker
from functions.stream.settings import CREATE, FAIL, StreamSettings
from functions.stream.topics import TopicMissing, partition_counts

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)


@pytest.fixture
def cluster() -> FakeCluster:
    """All topics but the input."""
    found = FakeCluster(creates_topics=False)
    found.create_topic("out", 3)
    found.create_topic("dead", 1)
    return found


async def test_missing_topic_is_awaited_and_logged_once(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = list[str](), FakeProducer.partitions_for

    def partitions_for(self: FakeProducer, topic: str) -> set[int]:
        calls.append(topic)
        if calls == ["in"] * 3:
            cluster.create_topic("in", 4)
        return original(self, topic)

    monkeypatch.setattr(FakeProducer, "partitions_for", partitions_for)
    assert await partition_counts(cluster, cluster.producer(), SETTINGS, asyncio.Event()) == {"out": 3, "dead": 1}
    assert calls == ["in", "in", "in", "out", "dead"]
    assert caplog.messages == ["there is no topic in yet; waiting until it is created"]


async def test_stop_ends_the_wait(cluster: FakeCluster) -> None:
    stop = asyncio.Event()
    stop.set()
    assert await partition_counts(cluster, cluster.producer(), SETTINGS, stop) is None


async def test_topic_that_the_user_may_not_see_is_named(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def partitions_for(self: FakeProducer, topic: str) -> set[int]:
        raise NotAuthorized(topic)

    monkeypatch.setattr(FakeProducer, "partitions_for", partitions_for)
    with pytest.raises(BrokerRefused, match=r"does not let this user see the topic in; grant it Describe, and Read or Write\."):
        await partition_counts(cluster, cluster.producer(), SETTINGS, asyncio.Event())


async def test_missing_topic_is_refused_even_by_a_broker_that_would_create_it() -> None:
    cluster = FakeCluster()
    cluster.create_topic("in", 4)
    with pytest.raises(TopicMissing, match="there is no topic out; create it, or set TIDEGATE_STREAM_MISSING_TOPICS to wait or create"):
        await partition_counts(cluster, cluster.producer(), replace(SETTINGS, missing_topics=FAIL), asyncio.Event())
    assert cluster.consumer().topics() == {"in"}


async def test_missing_output_topics_are_created_like_the_input(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    cluster.create_topic("in", 4)
    settings = replace(SETTINGS, output="new", missing_topics=CREATE)
    assert await partition_counts(cluster, cluster.producer(), settings, asyncio.Event()) == {"new": 4, "dead": 1}
    assert caplog.messages == ["created the topic new with 4 partitions, as the input topic has"]
