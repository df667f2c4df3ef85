from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError
from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.consumer import FakeConsumer
from eventing.kafka.lag import EndReader, Lag, LagReader, lag
from eventing.kafka.port import DEFAULT_CONSUMER, CommittedOffset, ConsumerOptions, TopicPartition
from functions.stream.settings import StreamSettings


def test_lag_is_read_without_joining_the_group(settings: StreamSettings, publish: Callable[[str, list[Message]], None]) -> None:
    publish(settings.input, [Message(b"one key", b"{}", []) for _ in range(10)])
    cluster = cluster_of(settings.broker)
    with LagReader(cluster, settings.group) as reader:
        (number,) = [partition for partition, one in reader.read(settings.input).items() if one.end]
        assert reader.read(settings.input)[number] == Lag(start=0, end=10, committed=None)
        consumer = cluster.consumer(ConsumerOptions(group=settings.group))
        consumer.commit({TopicPartition(settings.input, number): CommittedOffset(7)})
        consumer.close()
        assert reader.read(settings.input)[number].records == 3


def test_missing_topic_has_no_lag(settings: StreamSettings) -> None:
    assert lag(cluster_of(settings.broker), settings.group, "never.created") == {}


def test_deleted_records_are_not_lag() -> None:
    assert Lag(start=5, end=9, committed=None).records == 4
    assert Lag(start=5, end=9, committed=2).records == 4
    assert Lag(start=0, end=9, committed=9).records == 0


def test_ends_are_read_again_after_an_error(settings: StreamSettings, publish: Callable[[str, list[Message]], None]) -> None:
    publish(settings.input, [Message(b"one key", b"{}", []) for _ in range(10)])
    reader = EndReader(cluster_of(settings.broker))
    with pytest.raises(KafkaError):
        reader.read(settings.input, [99], 0.2)
    assert sum(reader.read(settings.input, range(4)).values()) == 10
    reader.close()
    reader.close()


def test_close_on_another_thread_leaves_no_connection_of_a_read_that_goes_on() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(FakeCluster):
        def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> FakeConsumer:
            entered.set()
            go_on.wait()
            return super().consumer(options)

    cluster = Slow(partitions=1)
    cluster.producer().partitions_for("in")
    reader = EndReader(cluster)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(reader.read, "in", [0])
        entered.wait()
        closing = pool.submit(reader.close)
        go_on.set()
        assert reading.result() == {0: 0}
        closing.result()
    assert reader._consumer is None
