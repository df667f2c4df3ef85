from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker, Cluster, TopicPartition
from tidegate.replay.errors import InvalidWindow
from tidegate.replay.reading import read
from tidegate.replay.window import Bound, Offset, Range, Time, Window, oldest, parse_window, ranges

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOON = 1793534400000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("2026-11-01T12:00", Time(NOON)),
        ("2026-11-01T12:00:00Z", Time(NOON)),
        ("2026-11-01T14:00+02:00", Time(NOON)),
        ("2026-11-01", Time(NOON - 12 * 3_600_000)),
        ("15m", Time(NOON - 15 * 60_000)),
        ("2h", Time(NOON - 2 * 3_600_000)),
        ("7d", Time(NOON - 7 * 86_400_000)),
        ("500ms", Time(NOON - 500)),
        ("100", Offset(100)),
        (None, None),
    ],
)
def test_bound_is_a_time_a_duration_before_now_or_an_offset(text: str | None, bound: Bound) -> None:
    assert parse_window(text, None, NOW).first == bound


@pytest.mark.parametrize("text", ["yesterday", "", "-5", "5y", "2026-13-01", "99999999999999d", "٣x"])
def test_other_text_is_one_sentence(text: str) -> None:
    with pytest.raises(InvalidWindow, match="which is neither a time nor an offset; write 2026-11-01T08:00, a duration"):
        parse_window(None, text, NOW)


@pytest.mark.parametrize(("first", "last"), [("1h", "2h"), ("10", "10"), ("2026-11-01", "2026-10-01")])
def test_empty_window_is_refused(first: str, last: str) -> None:
    with pytest.raises(InvalidWindow, match=r"the window from .* to .* is empty; name a --to after --from"):
        parse_window(first, last, NOW)


@pytest.fixture(params=["fake", "embedded", "apache"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Two with an index of times, and one without."""
    if request.param == "fake":
        return FakeCluster(partitions=2)
    if request.param == "apache":
        apache: Apache = request.getfixturevalue("apache")
        return cluster_of(Broker(apache.at("PLAINTEXT")))
    broker: Broker = request.getfixturevalue("broker")
    return cluster_of(broker)


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A topic with six records in partition 0 and three in partition 1."""
    name = f"window-{uuid.uuid4().hex}"
    if "apache" in request.node.name:
        create_topic(request.getfixturevalue("apache"), name, 2)
    producer = cluster.producer()
    producer.partitions_for(name)
    for number in range(9):
        producer.send(name, Message(None, b"%d" % number, []), partition=number // 6)
    producer.flush(30.0)
    producer.close()
    return name


def create_topic(apache: Apache, name: str, partitions: int, **configs: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=apache.at("PLAINTEXT"))) as admin:
        admin.create_topics([NewTopic(name, partitions, 1, topic_configs={key.replace("_", "."): value for key, value in configs.items()})])


@pytest.fixture
def hours(apache: Apache, request: pytest.FixtureRequest) -> tuple[Cluster, str]:
    """A topic of Apache Kafka whose records 0 to 8 say that they are of these hours after noon, in three partitions.

    The last partition is empty. The test's parameter is who sets the times.
    """
    name = f"hours-{uuid.uuid4().hex}"
    create_topic(apache, name, 3, message_timestamp_type=request.param)
    with closing(KafkaProducer(bootstrap_servers=apache.at("PLAINTEXT"))) as producer:
        for number in range(9):
            producer.send(name, b"%d" % number, partition=number // 6, timestamp_ms=NOON + number * HOUR)
    return cluster_of(Broker(apache.at("PLAINTEXT"))), name


def values(cluster: Cluster, topic: str, window: Window) -> list[int]:
    consumer = cluster.consumer()
    try:
        found = ranges(consumer, topic, window)
        return sorted(int(record.value or b"") for records in read(consumer, found, window) for record in records)
    finally:
        consumer.close()


def test_offsets_count_in_each_partition(cluster: Cluster, topic: str) -> None:
    assert values(cluster, topic, Window(Offset(1), Offset(4))) == [1, 2, 3, 7, 8]
    assert values(cluster, topic, Window(Offset(4), None)) == [4, 5]
    assert values(cluster, topic, Window(Offset(9), None)) == []
    assert values(cluster, topic, Window()) == list(range(9))


def test_times_are_those_of_the_records(cluster: Cluster, topic: str) -> None:
    consumer = cluster.consumer()
    whole = ranges(consumer, topic, Window())
    first = oldest(consumer, whole)
    consumer.close()
    assert whole == {TopicPartition(topic, 0): Range(0, 6), TopicPartition(topic, 1): Range(0, 3)}
    assert first is not None
    assert values(cluster, topic, Window(Time(first), None)) == list(range(9))
    assert values(cluster, topic, Window(None, Time(first))) == []
    assert values(cluster, topic, Window(Time(first + 3_600_000), None)) == []


def test_window_is_read_again_after_it_was_read(cluster: Cluster, topic: str) -> None:
    consumer = cluster.consumer()
    found = ranges(consumer, topic, Window())
    for _ in range(2):
        assert sum(len(records) for records in read(consumer, found, Window())) == 9
        assert oldest(consumer, found) is not None
    consumer.close()


def test_topic_that_does_not_exist_has_no_ranges(cluster: Cluster) -> None:
    consumer = cluster.consumer()
    assert ranges(consumer, "nowhere-at-all", Window()) == {}
    assert oldest(consumer, {}) is None
    consumer.close()


@pytest.mark.parametrize("hours", ["CreateTime"], indirect=True)
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (2.0, 4.0, [2, 3]),
        (1.5, 6.5, [2, 3, 4, 5, 6]),
        (-5.0, None, list(range(9))),
        (-5.0, -4.0, []),
        (None, 0.0, []),
        (8.0, None, [8]),
        (9.0, None, []),
        (9.0, 10.0, []),
        (None, 9.0, list(range(9))),
    ],
)
def test_times_are_looked_up_in_the_index(hours: tuple[Cluster, str], first: float | None, last: float | None, expected: list[int]) -> None:
    bounds = [None if hour is None else Time(round(NOON + hour * HOUR)) for hour in (first, last)]
    assert values(*hours, Window(*bounds)) == expected


@pytest.mark.parametrize("hours", ["LogAppendTime"], indirect=True)
def test_times_may_be_those_of_the_broker(hours: tuple[Cluster, str]) -> None:
    """The producer's times, which are in the past, are replaced by the time at which Kafka has written the record."""
    cluster, topic = hours
    consumer = cluster.consumer()
    written = oldest(consumer, ranges(consumer, topic, Window()))
    consumer.close()
    assert written is not None
    assert values(cluster, topic, Window(Time(NOON - HOUR), Time(written))) == []
    assert values(cluster, topic, Window(Time(written), None)) == list(range(9))
    assert values(cluster, topic, Window(Time(written), Time(written + HOUR))) == list(range(9))
    assert values(cluster, topic, Window(Time(written + HOUR), None)) == []


def test_the_end_of_a_transaction_has_an_offset_and_no_record(apache: Apache) -> None:
    topic = f"transactions-{uuid.uuid4().hex}"
    create_topic(apache, topic, 1)
    with closing(KafkaProducer(bootstrap_servers=apache.at("PLAINTEXT"), transactional_id=topic)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"1", timestamp_ms=NOON)
        producer.commit_transaction()
    cluster = cluster_of(Broker(apache.at("PLAINTEXT")))
    later = round(datetime.now(UTC).timestamp() * 1000) + HOUR
    assert values(cluster, topic, Window(None, Time(later))) == [1]
    assert values(cluster, topic, Window(Time(later), None)) == []
