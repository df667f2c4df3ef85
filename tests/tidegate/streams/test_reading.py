"""Samples from a broker: a real one in memory of librdkafka, and the fake for what that one does not have."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import CLIENT, CLIENTS, cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import CommittedOffset, Consumer, ConsumerOptions, TopicPartition
from functions.stream.checkpoint import Checkpoint, Position
from functions.stream.settings import StreamSettings
from functions.stream.window import Span
from tidegate.streams import finding, reading
from tidegate.streams.errors import UnknownStream
from tidegate.streams.observing import Observer
from tidegate.streams.reading import SampleReader
from tidegate.streams.samples import Stream

Publish = Callable[[str, list[Message]], None]


@pytest.mark.parametrize("client", CLIENTS)
def test_sample_has_the_age_of_the_record_at_the_committed_offset(
    client: str, settings: StreamSettings, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLIENT, client)
    cluster, before = cluster_of(settings.broker), time.time()
    publish(settings.input, [Message(b"one key", b"{}", []) for _ in range(10)])
    stream = Stream(name="s", group=settings.group, input=settings.input)
    with SampleReader(cluster, wall=lambda: before + 100) as reader:
        found = reader.read(stream)
        (number,) = [number for number, partition in found.partitions.items() if partition.end]
        assert (found.records, found.partitions[number].committed) == (10, None)
        assert found.seconds is not None
        assert 95 < found.seconds <= 100.01
        consumer = cluster.consumer(ConsumerOptions(group=settings.group))
        consumer.commit({TopicPartition(settings.input, number): CommittedOffset(7)})
        found = reader.read(stream)
        assert (found.partitions[number].position, found.records) == (7, 3)
        assert found.seconds is not None
        assert found.seconds > 95
        # To the end: nothing is fetched, and nothing waits.
        consumer.commit({TopicPartition(settings.input, number): CommittedOffset(10)})
        consumer.close()
        found = reader.read(stream)
    assert (found.records, found.seconds) == (0, 0.0)


def test_age_is_never_negative_and_unknown_without_a_timestamp() -> None:
    assert reading._age(2_000_000, 1_000.0) == 0.0
    assert reading._age(-1, 1_000.0) is None
    assert reading._age(900_000, 1_000.0) == 100.0


def test_reading_ends_in_time_if_the_broker_returns_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = in_memory()
    with SampleReader(cluster, fetch_seconds=0.0) as reader:
        found = reader.read(Stream(name="s", group="g", input="in"))
    assert (found.records, found.seconds) == (4, None)


def test_markers_of_transactions_are_no_lag() -> None:
    cluster = in_memory()
    with SampleReader(cluster) as reader:
        reader._records = cast("Consumer", OnlyMarkers(cluster.consumer(), 4))
        found = reader.read(Stream(name="s", group="g", input="in"))
    assert (found.records, found.seconds, found.finished) == (0, 0.0, 4)


def test_records_that_are_finished_beyond_a_retried_one_are_no_lag() -> None:
    cluster = in_memory()
    commit(cluster, "g", Checkpoint({}, (Span(1, 3),)).to_text(0))
    with SampleReader(cluster) as reader:
        found = reader.read(Stream(name="s", group="g", input="in"))
    assert (found.partitions[0].position, found.records, found.finished) == (0, 2, 2)
    assert found.seconds is not None


class OnlyMarkers:
    """A consumer that finds no record up to an offset."""

    def __init__(self, consumer: Consumer, end: int) -> None:
        self._consumer = consumer
        self._end = end

    def poll(self, _: float) -> dict[TopicPartition, list[Any]]:
        return {}

    def position(self, _: TopicPartition) -> int:
        return self._end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


def test_missing_topic_has_no_partition() -> None:
    with SampleReader(in_memory()) as reader:
        assert reader.read(Stream(name="s", group="g", input="never.created")).partitions == {}


def test_observation_takes_samples_over_its_time() -> None:
    cluster = in_memory()
    with SampleReader(cluster) as reader:
        observer = Observer(reader, [Stream(name="s", group="g", input="in")])
        (first,) = observer.observe(0.0)
        assert first.forecast.rate_in is None
        cluster.producer().send("in", Message(None, b"5", []), 0)
        (second,) = observer.observe(0.05)
    assert second.forecast.records == 5
    assert second.forecast.rate_in is not None
    assert second.forecast.rate_in > 0
    assert second.forecast.sentence == "not moving: 5 events wait"


def test_streams_of_a_broker_are_the_groups_of_workers() -> None:
    cluster = in_memory()
    commit(cluster, "tidegate-in", Checkpoint({"out": Position(0, 3), "in.deadletter": Position(0, 0)}).to_text(0))
    commit(cluster, "tidegate-deleted.topic", "")
    commit(cluster, "another", "")
    (found,) = finding.described(cluster, finding.of_broker(cluster))
    assert (found.name, found.input, found.output, found.workers) == ("tidegate-in", "in", "out", 0)


def test_output_is_unknown_if_the_commits_do_not_name_it() -> None:
    cluster = in_memory()
    commit(cluster, "mine", "by hand")
    (found,) = finding.described(cluster, [finding.of_topic("in", "mine", None)])
    assert (found.group, found.output) == ("mine", "")


def test_stream_is_chosen_by_name_topic_or_group() -> None:
    streams = [Stream(name=f"stream-{name}", group=f"g-{name}", input=name) for name in ("a", "b")]
    for name in ("stream-a", "a", "g-a"):
        assert finding.chosen(streams, name) == streams[:1]
    with pytest.raises(UnknownStream, match=r"no stream here is named c .* name one of these: stream-a, stream-b"):
        finding.chosen(streams, "c")


def in_memory() -> FakeCluster:
    cluster = FakeCluster(partitions=1)
    producer = cluster.producer()
    for number in range(4):
        producer.send("in", Message(None, b"%d" % number, []), 0)
    return cluster


def commit(cluster: FakeCluster, group: str, metadata: str) -> None:
    consumer = cluster.consumer(ConsumerOptions(group=group, instance=uuid.uuid4().hex))
    consumer.commit({TopicPartition("in", 0): CommittedOffset(0, metadata)})
    consumer.close()
