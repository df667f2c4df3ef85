"""The contract of transactions, held by every cluster that isolates them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing.codecs.kafka import Message
from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.errors import (
    Fenced,
    MemberFenced,
    RecordTooLarge,
    RequestTimedOut,
    TransactionAbortable,
    TransactionInDoubt,
    TransactionsUnsupported,
)
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import (
    Broker,
    CommittedOffset,
    Consumer,
    ConsumerOptions,
    GroupMetadata,
    Offsets,
    TopicPartition,
    TransactionalProducer,
    TransactionOptions,
)
from tests.eventing.kafka.contract.test_port import SECONDS, poll_until

if TYPE_CHECKING:
    from tests.eventing.kafka.contract.conftest import Clients


class Member:
    """A listener that keeps the identity to which its partitions were assigned, as a worker does."""

    def __init__(self, clients: Clients) -> None:
        self.owned: set[TopicPartition] = set()
        self.identity: GroupMetadata | None = None
        self.consumer = clients.consumer(ConsumerOptions(group=clients.group, session_timeout_seconds=6.0, read_committed=True))
        self.consumer.subscribe(clients.topic, self)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.owned |= set(partitions)
        self.identity = self.consumer.group_metadata()

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        self.owned -= set(partitions)
        return {}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.owned -= set(partitions)


def send(producer: TransactionalProducer, topic: str, *values: bytes) -> None:
    for value in values:
        producer.send(topic, Message(b"key", value, []), 0)


def values(consumer: Consumer, topic: str, count: int) -> list[bytes | None]:
    """Read the values of partition 0 up to the consumer's end, which are at least so many."""
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    found: list[bytes | None] = []
    end = consumer.end_offsets([partition])[partition]
    while len(found) < count or consumer.position(partition) < end:
        found += [record.value for records in consumer.poll(0.2).values() for record in records]
    return found


def committed(clients: Clients, partition: int) -> CommittedOffset | None:
    with closing(clients.cluster.consumer(ConsumerOptions(group=clients.group, read_committed=True))) as consumer:
        return consumer.committed(TopicPartition(clients.topic, partition), SECONDS)


def stranger(clients: Clients) -> GroupMetadata:
    """Return the identity of a consumer outside its group, which may commit while the group has no members."""
    return clients.consumer(ConsumerOptions(group=clients.group)).group_metadata()


def test_transaction_is_read_once_it_is_committed(isolating: Clients) -> None:
    producer = isolating.transactional_producer()
    careful, careless = isolating.consumer(ConsumerOptions(read_committed=True)), isolating.consumer()
    producer.begin()
    send(producer, isolating.topic, b"a", b"b")
    producer.flush(SECONDS)
    assert values(careless, isolating.topic, 2) == [b"a", b"b"]
    assert values(careful, isolating.topic, 0) == []
    producer.commit(SECONDS)
    assert values(careful, isolating.topic, 2) == [b"a", b"b"]


def test_aborted_transaction_is_never_read(isolating: Clients) -> None:
    producer = isolating.transactional_producer()
    for value, end in ((b"a", producer.abort), (b"b", producer.commit), (b"c", producer.abort), (b"d", producer.commit)):
        producer.begin()
        send(producer, isolating.topic, value)
        producer.flush(SECONDS)
        end(SECONDS)
    assert values(isolating.consumer(ConsumerOptions(read_committed=True)), isolating.topic, 2) == [b"b", b"d"]


def test_offsets_are_committed_with_their_transaction(isolating: Clients) -> None:
    producer, identity = isolating.transactional_producer(), stranger(isolating)
    first, second = TopicPartition(isolating.topic, 0), TopicPartition(isolating.topic, 1)
    producer.begin()
    producer.send_offsets({first: CommittedOffset(3, '{"a": 1}')}, identity, SECONDS)
    producer.send_offsets({second: CommittedOffset(4)}, identity, SECONDS)
    producer.commit(SECONDS)
    assert (committed(isolating, 0), committed(isolating, 1)) == (CommittedOffset(3, '{"a": 1}'), CommittedOffset(4))
    producer.begin()
    producer.send_offsets({first: CommittedOffset(9)}, identity, SECONDS)
    producer.abort(SECONDS)
    assert committed(isolating, 0) == CommittedOffset(3, '{"a": 1}')


def test_offset_in_an_open_transaction_is_waited_for(isolating: Clients) -> None:
    producer, partition = isolating.transactional_producer(), TopicPartition(isolating.topic, 0)
    producer.begin()
    producer.send_offsets({partition: CommittedOffset(3)}, stranger(isolating), SECONDS)
    careful = isolating.consumer(ConsumerOptions(group=isolating.group, read_committed=True))
    careless = isolating.consumer(ConsumerOptions(group=isolating.group))
    with pytest.raises(RequestTimedOut):
        careful.committed(partition, 0.5)
    assert careless.committed(partition, SECONDS) is None
    producer.commit(SECONDS)
    assert careful.committed(partition, SECONDS) == CommittedOffset(3)


def test_member_of_an_earlier_generation_is_fenced_and_commits_nothing_later(isolating: Clients) -> None:
    one = Member(isolating)
    poll_until(lambda: len(one.owned) == 4, one.consumer)
    stale, producer = one.identity, isolating.transactional_producer()
    assert stale is not None
    assert stale.group == isolating.group
    two = Member(isolating)
    poll_until(lambda: bool(two.owned) and len(one.owned | two.owned) == 4 and one.identity is not stale, one.consumer, two.consumer)
    taken, kept = (next(iter(member.owned)) for member in (two, one))
    producer.begin()
    send(producer, isolating.topic, b"late")
    with pytest.raises(MemberFenced):
        producer.send_offsets({taken: CommittedOffset(7)}, stale, SECONDS)
    producer.abort(SECONDS)
    assert one.identity is not None
    producer.begin()
    send(producer, isolating.topic, b"in time")
    producer.send_offsets({kept: CommittedOffset(1)}, one.identity, SECONDS)
    producer.commit(SECONDS)
    assert (committed(isolating, kept.partition), committed(isolating, taken.partition)) == (CommittedOffset(1), None)
    assert values(isolating.consumer(ConsumerOptions(read_committed=True)), isolating.topic, 1) == [b"in time"]


def test_newer_producer_ends_the_transaction_of_the_one_before_and_fences_it(isolating: Clients) -> None:
    older = isolating.transactional_producer()
    older.begin()
    send(older, isolating.topic, b"a")
    older.send_offsets({TopicPartition(isolating.topic, 0): CommittedOffset(1)}, stranger(isolating), SECONDS)
    older.flush(SECONDS)
    newer = isolating.transactional_producer()
    assert committed(isolating, 0) is None
    with pytest.raises(Fenced):
        older.commit(SECONDS)
    newer.begin()
    send(newer, isolating.topic, b"b")
    newer.commit(SECONDS)
    older.close(1.0)
    assert values(isolating.consumer(ConsumerOptions(read_committed=True)), isolating.topic, 1) == [b"b"]


def test_closing_a_producer_aborts_its_transaction(isolating: Clients) -> None:
    producer = isolating.transactional_producer()
    producer.begin()
    send(producer, isolating.topic, b"a")
    producer.flush(SECONDS)
    producer.close(SECONDS)
    partition = TopicPartition(isolating.topic, 0)
    reader = isolating.consumer(ConsumerOptions(read_committed=True))
    assert reader.end_offsets([partition])[partition] == 2  # the record and the marker
    assert values(reader, isolating.topic, 0) == []


def test_transaction_with_a_refused_record_can_only_be_aborted(isolating: Clients) -> None:
    topic = limited_topic(isolating)
    producer = isolating.transactional_producer()
    producer.begin()
    send(producer, topic, b"small")
    producer.send(topic, Message(None, bytes(5000), []), 0)
    for attempt in (producer.flush, producer.commit):
        with pytest.raises(TransactionAbortable) as caught:
            attempt(SECONDS)
        assert isinstance(caught.value.reason, RecordTooLarge)
    producer.close(SECONDS)
    producer = isolating.transactional_producer()
    producer.begin()
    send(producer, topic, b"again")
    producer.commit(SECONDS)
    assert values(isolating.consumer(ConsumerOptions(read_committed=True)), topic, 1) == [b"again"]


def test_producer_of_a_refused_record_begins_no_transaction(isolating: Clients) -> None:
    topic = limited_topic(isolating)
    producer = isolating.transactional_producer()
    producer.begin()
    producer.send(topic, Message(None, bytes(5000), []), 0)
    with pytest.raises(TransactionAbortable):
        producer.flush(SECONDS)
    producer.abort(SECONDS)
    with pytest.raises(TransactionInDoubt):
        producer.begin()


def limited_topic(clients: Clients) -> str:
    name = f"limited-{uuid.uuid4().hex[:8]}"
    if isinstance(clients.cluster, FakeCluster):
        clients.cluster.create_topic(name, 1, max_message_bytes=1000)
        return name
    with closing(KafkaAdminClient(bootstrap_servers=clients.servers)) as admin:
        admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "1000"})])
    return name


def test_empty_transaction_and_abort_without_one_do_nothing(isolating: Clients) -> None:
    producer = isolating.transactional_producer()
    producer.abort(SECONDS)
    producer.begin()
    producer.flush(SECONDS)
    producer.commit(SECONDS)
    producer.begin()
    producer.abort(SECONDS)


@pytest.mark.parametrize("library", [KafkaCluster, ConfluentCluster])
def test_embedded_broker_is_refused(library: type[KafkaCluster | ConfluentCluster], broker: Broker) -> None:
    brokers = [broker] if library is KafkaCluster else [broker, Broker(broker.bootstrap_servers)]
    for each in brokers:
        with pytest.raises(TransactionsUnsupported, match=r"embedded broker, which does not isolate transactions; use Apache Kafka 2\.5"):
            library(each).transactional_producer(TransactionOptions(transactional_id="t"))
