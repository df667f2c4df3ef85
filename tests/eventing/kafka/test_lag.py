from __future__ import annotations

from collections.abc import Callable

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError
from eventing.kafka.factory import cluster_of
from eventing.kafka.lag import EndReader, Lag, LagReader, lag
from eventing.kafka.port import CommittedOffset, ConsumerOptions, TopicPartition
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
