from __future__ import annotations

from collections.abc import Callable

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from eventing.codecs.kafka import Message
from eventing.kafka import kafka_python
from eventing.kafka.lag import Lag, LagReader, lag
from functions.stream.settings import StreamSettings


def test_the_lag_is_read_without_joining_the_group(settings: StreamSettings, publish: Callable[[str, list[Message]], None]) -> None:
    publish(settings.input, [Message(b"one key", b"{}", []) for _ in range(10)])
    with LagReader(settings.broker, settings.group) as reader:
        (number,) = [partition for partition, one in reader.read(settings.input).items() if one.end]
        assert reader.read(settings.input)[number] == Lag(0, 10, None)
        consumer = kafka_python.consumer(settings.broker, group_id=settings.group)
        consumer.commit({TopicPartition(settings.input, number): OffsetAndMetadata(7, "", -1)})
        consumer.close()
        assert reader.read(settings.input)[number].records == 3


def test_a_topic_that_is_not_there_has_no_lag(settings: StreamSettings) -> None:
    assert lag(settings.broker, settings.group, "nobody.made.this") == {}


def test_what_the_broker_has_dropped_is_not_left() -> None:
    assert Lag(start=5, end=9, committed=None).records == 4
    assert Lag(start=5, end=9, committed=2).records == 4
    assert Lag(start=0, end=9, committed=9).records == 0
