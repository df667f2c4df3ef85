"""Records that were fetched before a pause, or cannot be read: in the bare client, and in the corrected one.

If a test of the bare client fails, this release of kafka-python no longer needs the correction.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer, TopicPartition
from kafka.codec import has_gzip
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record import default_records

from eventing.kafka.kafka_python import fetcher
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, ConsumerOptions

COUNT = 100
Open = Callable[..., KafkaConsumer]


@pytest.fixture
def topic(broker: Broker) -> str:
    """Two partitions with a hundred records each."""
    name = f"aside-{uuid.uuid4().hex[:8]}"
    publish(broker, name)
    return name


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "correct", lambda consumer: None)


@pytest.fixture
def opened(broker: Broker, topic: str) -> Iterator[Open]:
    consumers = []

    def open_(max_poll_records: int = 10) -> KafkaConsumer:
        consumer = KafkaCluster(broker).consumer(ConsumerOptions(max_poll_records=max_poll_records))._client
        consumers.append(consumer)
        consumer.assign([TopicPartition(topic, number) for number in (0, 1)])
        consumer.seek_to_beginning()
        return consumer

    yield open_
    for consumer in consumers:
        consumer.close()


def publish(broker: Broker, topic: str, **options: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **options})
    for number in range(2 * COUNT):
        producer.produce(topic, b"%d" % number, partition=number % 2)
    producer.flush()


def poll(consumer: KafkaConsumer, polls: int = 1) -> Counter[TopicPartition]:
    found: Counter[TopicPartition] = Counter()
    for _ in range(polls):
        found.update({partition: len(records) for partition, records in consumer.poll(timeout_ms=200).items()})
    return found


def read_beside_a_paused_one(consumer: KafkaConsumer) -> tuple[TopicPartition, Counter[TopicPartition]]:
    """Pause the partition that was read first, read the other to its end, and resume the first."""
    read = poll(consumer)
    while not read:
        read = poll(consumer)
    (first,) = read
    consumer.pause(first)
    while read.total() < COUNT + 10:
        read += poll(consumer)
    consumer.resume(first)
    return first, read


@pytest.mark.usefixtures("bare")
def test_bare_client_keeps_records_fetched_before_a_pause(opened: Open) -> None:
    consumer = opened()
    first, read = read_beside_a_paused_one(consumer)
    assert not poll(consumer, 5)
    assert read[first] == 10


def test_resumed_partition_returns_records_fetched_before_its_pause(opened: Open) -> None:
    consumer = opened()
    _, read = read_beside_a_paused_one(consumer)
    while read.total() < 2 * COUNT:
        read += poll(consumer)
    assert set(read.values()) == {COUNT}


def test_resumed_partition_does_not_wait_for_the_others(opened: Open) -> None:
    consumer = opened()
    read = poll(consumer)
    while not read:
        read = poll(consumer)
    (first,) = read
    consumer.pause(first)
    assert first not in poll(consumer, 2)
    consumer.resume(first)
    assert set(poll(consumer, 2).values()) == {10}


def test_records_aside_are_dropped_after_a_seek(opened: Open) -> None:
    consumer = opened()
    first, _ = read_beside_a_paused_one(consumer)
    consumer.seek(first, 95)
    read: list[int] = []
    while len(read) < 5:
        read += [record.offset for records in consumer.poll(timeout_ms=200).values() for record in records]
    assert read == [95, 96, 97, 98, 99]


def test_records_aside_are_dropped_with_their_partition(opened: Open) -> None:
    consumer = opened()
    first, _ = read_beside_a_paused_one(consumer)
    consumer.assign([partition for partition in consumer.assignment() if partition != first])
    assert first not in poll(consumer, 2)
    assert not consumer._fetcher._paused_partition_records


def read_on(consumer: KafkaConsumer, read: list[int]) -> None:
    while True:
        read.append(poll(consumer).total())


class Unreadable:
    """A response whose first batch cannot be read."""

    def next_batch(self) -> Any:
        raise CorruptRecordError

    def has_next(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "finished"), [(Fetcher, False), (fetcher._Fetcher, True)], ids=["bare", "corrected"])
def test_unreadable_records_are_finished_only_in_the_corrected_client(kind: Any, finished: bool) -> None:
    records = kind.PartitionRecords(0, TopicPartition("in", 0), Unreadable())
    with pytest.raises(CorruptRecordError):
        records.take(10)
    # While they are current and empty, a poll for ten records never returns.
    assert bool(records) is not finished
    assert finished or records.take(10) == []


def test_unsupported_compression_is_an_error_at_each_poll(
    broker: Broker, opened: Open, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_records.codecs, "has_lz4", lambda: False)
    publish(broker, topic, **{"compression.type": "lz4"})
    consumer, read = opened(1000), list[int]()
    for _ in range(3):
        with pytest.raises(UnsupportedCodecError, match=rf"the record at {topic}/[01]/100 cannot be read \(.*lz4.*\); install that"):
            read_on(consumer, read)
    assert sum(read) == 2 * COUNT


def test_gzip_is_read(broker: Broker, opened: Open, topic: str) -> None:
    assert has_gzip()
    publish(broker, topic, **{"compression.type": "gzip"})
    consumer, read = opened(), 0
    while read < 4 * COUNT:
        read += poll(consumer).total()


def test_client_with_another_fetcher_is_not_corrected(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, api_version=broker.api_version)) as consumer:
        theirs = consumer._fetcher
        monkeypatch.setattr(fetcher, "_PARTS", ("a_part_of_a_later_release",))
        fetcher.correct(consumer)
        assert consumer._fetcher is theirs
