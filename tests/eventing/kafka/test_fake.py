"""Faults that the in-memory cluster makes on request, and a real broker only after a while."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import BrokerUnreachable, CommitRefused, KafkaError, RecordTooLarge, RequestTimedOut, TransactionInDoubt
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.consumer import FakeConsumer
from eventing.kafka.port import CommittedOffset, ConsumerOptions, Offsets, TopicPartition, TransactionOptions

PARTITION = TopicPartition("in", 0)


class Listener:
    def __init__(self) -> None:
        self.calls: list[tuple[str, set[TopicPartition]]] = []

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("assigned", set(partitions)))

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        self.calls.append(("revoked", set(partitions)))
        return {}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("lost", set(partitions)))


def member(cluster: FakeCluster, listener: Listener) -> FakeConsumer:
    consumer = cluster.consumer(ConsumerOptions(group="g"))
    consumer.subscribe("in", listener)
    consumer.poll(0)
    return consumer


def test_expelled_member_cannot_commit_and_loses_its_partitions() -> None:
    listener = Listener()
    consumer = member(FakeCluster(partitions=1), listener)
    consumer.commit({PARTITION: CommittedOffset(1)})
    consumer.expel()
    with pytest.raises(CommitRefused):
        consumer.commit({PARTITION: CommittedOffset(2)})
    consumer.poll(0)
    assert listener.calls == [("assigned", {PARTITION}), ("lost", {PARTITION}), ("assigned", {PARTITION})]
    assert consumer.committed(PARTITION) == CommittedOffset(1)


def test_commit_during_a_rebalance_is_refused() -> None:
    cluster = FakeCluster(partitions=1)
    consumer = member(cluster, Listener())
    member(cluster, Listener())
    with pytest.raises(CommitRefused):
        consumer.commit({PARTITION: CommittedOffset(2)})


def test_unreachable_cluster_fails_every_request_until_it_is_back() -> None:
    cluster = FakeCluster()
    consumer = cluster.consumer()
    cluster.set_reachable(False)
    for request in (cluster.consumer, cluster.producer, cluster.admin, consumer.topics, lambda: consumer.poll(0)):
        with pytest.raises(BrokerUnreachable):
            request()
    cluster.set_reachable(True)
    assert consumer.topics() == set()


def test_topic_limit_refuses_a_record_after_it_was_sent() -> None:
    cluster = FakeCluster()
    cluster.create_topic("small", 1, max_message_bytes=200)
    assert cluster.admin().max_message_bytes(["small", "other"]) == {"small": 200}
    delivery = cluster.producer().send("small", Message(None, bytes(200), []))
    assert (delivery.offset, delivery.partition) == (None, None)
    assert isinstance(delivery.error, RecordTooLarge)


def test_refused_record_is_not_written() -> None:
    cluster = FakeCluster(partitions=1)
    cluster.refuse(lambda topic, message: KafkaError("not enough replicas") if message.value == b"bad" else None)
    producer = cluster.producer()
    assert producer.send("in", Message(None, b"bad", [])).error is not None
    assert producer.send("in", Message(None, b"good", [])).offset == 0


def test_cluster_without_automatic_topics_times_out() -> None:
    with pytest.raises(RequestTimedOut):
        FakeCluster(creates_topics=False).producer().partitions_for("in")


@pytest.mark.parametrize("arrives", [True, False])
def test_end_in_doubt_has_arrived_or_not_and_the_next_producer_settles_it(arrives: bool) -> None:
    cluster, options = FakeCluster(partitions=1), TransactionOptions(transactional_id="t")
    producer, reader = cluster.transactional_producer(options), cluster.consumer(ConsumerOptions(read_committed=True))
    producer.begin()
    producer.send("in", Message(None, b"value", []))
    cluster.doubt_ends(lambda: arrives)
    with pytest.raises(TransactionInDoubt):
        producer.commit(1.0)
    cluster.doubt_ends(None)
    cluster.transactional_producer(options)
    reader.assign([PARTITION])
    assert len(reader.poll(0)) == arrives
    assert reader.end_offsets([PARTITION]) == {PARTITION: 2}
