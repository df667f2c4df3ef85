"""The contract of the Kafka port, held by every cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import (
    CommittedOffset,
    ConsumedRecord,
    Consumer,
    ConsumerOptions,
    Delivery,
    Offsets,
    ProducerOptions,
    TopicPartition,
)

if TYPE_CHECKING:
    from tests.eventing.kafka.contract.conftest import Clients

SECONDS = 60.0
# The embedded broker lets a group wait for its members, once for each of the rounds of a cooperative rebalance.
REBALANCING_AT_ONCE = ["fake", "kafka-python apache", "confluent apache"]


class Poller(Protocol):
    def poll(self, timeout_seconds: float) -> object: ...


class Listener:
    """Notes each callback, and gives offset 7 back for each revoked partition."""

    def __init__(self) -> None:
        self.owned: set[TopicPartition] = set()
        self.gained: list[set[TopicPartition]] = []
        self.given_up: set[TopicPartition] = set()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.gained.append(set(partitions))
        self.owned |= set(partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        self.owned -= set(partitions)
        self.given_up |= set(partitions)
        return {partition: CommittedOffset(7, "given up") for partition in partitions}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.owned -= set(partitions)


def publish(clients: Clients, partition: int, count: int) -> None:
    producer = clients.producer()
    for number in range(count):
        producer.send(clients.topic, Message(b"key", b"%d" % number, [("name", b"item")]), partition)
    producer.flush(10.0)


def read(consumer: Consumer, count: int) -> Sequence[ConsumedRecord]:
    records: list[ConsumedRecord] = []
    deadline = time.monotonic() + SECONDS
    while len(records) < count and time.monotonic() < deadline:
        records += [record for found in consumer.poll(0.5).values() for record in found]
    return records


def poll_until(reached: Callable[[], bool], *consumers: Poller) -> None:
    """Poll each consumer on a thread of its own, as members of a group are."""
    deadline, over = time.monotonic() + SECONDS, threading.Event()

    def keep_polling(consumer: Poller) -> None:
        while not over.is_set() and time.monotonic() < deadline:
            # The embedded broker may refuse a request to join that follows another one; the next is accepted.
            with suppress(KafkaError):
                consumer.poll(1.3)
            if reached():
                over.set()

    with ThreadPoolExecutor() as pool:
        for polling in [pool.submit(keep_polling, consumer) for consumer in consumers]:
            polling.result()
    assert over.is_set()


def member(clients: Clients, listener: Listener, *, cooperative: bool = False) -> Consumer:
    consumer = clients.consumer(ConsumerOptions(group=clients.group, session_timeout_seconds=6.0, cooperative=cooperative))
    consumer.subscribe(clients.topic, listener)
    return consumer


def test_record_is_polled_as_it_was_sent(clients: Clients) -> None:
    before = time.time() * 1000
    publish(clients, 2, 3)
    consumer = clients.consumer()
    consumer.assign([TopicPartition(clients.topic, 2)])
    records = read(consumer, 3)
    assert [(record.topic, record.partition, record.offset) for record in records] == [(clients.topic, 2, number) for number in range(3)]
    assert [(record.key, record.value, list(record.headers)) for record in records][2] == (b"key", b"2", [("name", b"item")])
    assert before - 1000 < records[0].timestamp < time.time() * 1000 + 1000


def test_message_without_key_and_value_has_an_empty_value(clients: Clients) -> None:
    producer = clients.producer()
    producer.send(clients.topic, Message(None, None, []), 0)
    producer.send(clients.topic, Message(b"key", None, []), 0)
    producer.flush(10.0)
    consumer = clients.consumer()
    consumer.assign([TopicPartition(clients.topic, 0)])
    assert [(record.key, record.value) for record in read(consumer, 2)] == [(None, b""), (b"key", None)]


def test_delivery_calls_back_with_its_place(clients: Clients) -> None:
    publish(clients, 1, 2)
    producer = clients.producer()
    done, places = threading.Event(), list[tuple[int | None, int | None, KafkaError | None]]()

    def note(delivery: Delivery) -> None:
        places.append((delivery.partition, delivery.offset, delivery.error))
        done.set()

    delivery = producer.send(clients.topic, Message(None, b"", []), 1)
    delivery.add_done_callback(note)
    assert done.wait(SECONDS)
    assert places == [(1, 2, None)]
    assert delivery.offset == 2


def test_key_decides_the_partition(clients: Clients) -> None:
    producer = clients.producer()
    deliveries = [producer.send(clients.topic, Message(b"key", b"", [])) for _ in range(5)]
    producer.flush(10.0)
    assert len({delivery.partition for delivery in deliveries}) == 1


def test_record_larger_than_the_client_sends_is_refused(clients: Clients) -> None:
    producer = clients.producer(ProducerOptions(max_request_bytes=1000))
    with pytest.raises(RecordTooLarge):
        producer.send(clients.topic, Message(None, bytes(1001), []), 0)


def test_batch_bytes_counts_key_value_and_headers(clients: Clients) -> None:
    producer = clients.producer()
    bare, whole = Message(None, b"", []), Message(b"key", b"value", [("name", b"item")])
    assert producer.batch_bytes(whole) >= producer.batch_bytes(bare) + len(b"keyvaluenameitem")


def test_unknown_topic_has_no_partitions_and_is_not_created(clients: Clients) -> None:
    consumer = clients.consumer()
    assert consumer.partitions_for("never.created") == set()
    assert "never.created" not in consumer.topics()
    assert clients.topic in consumer.topics()


def test_offsets_of_an_unknown_partition_are_an_error(clients: Clients) -> None:
    with pytest.raises(KafkaError):
        clients.consumer().end_offsets([TopicPartition(clients.topic, 99)], 0.2)


def test_reading_begins_where_it_is_sought(clients: Clients) -> None:
    publish(clients, 3, 5)
    partition, consumer = TopicPartition(clients.topic, 3), clients.consumer()
    assert consumer.beginning_offsets([partition]) == {partition: 0}
    assert consumer.end_offsets([partition], 5.0) == {partition: 5}
    consumer.assign([partition])
    consumer.seek(partition, 3)
    assert [record.offset for record in read(consumer, 2)] == [3, 4]
    assert consumer.position(partition) == 5
    assert consumer.positions() == {partition: 5}
    assert consumer.high_water(partition) == 5


def test_poll_returns_at_most_the_given_number(clients: Clients) -> None:
    publish(clients, 0, 10)
    consumer = clients.consumer(ConsumerOptions(max_poll_records=4))
    consumer.assign([TopicPartition(clients.topic, 0)])
    sizes = list[int]()
    poll_until(lambda: sum(sizes) == 10, _Counting(consumer, sizes))
    assert max(sizes) <= 4


class _Counting:
    """A consumer that notes how many records each poll returns."""

    def __init__(self, consumer: Consumer, sizes: list[int]) -> None:
        self._consumer = consumer
        self._sizes = sizes

    def poll(self, timeout_seconds: float) -> None:
        self._sizes.append(sum(map(len, self._consumer.poll(timeout_seconds).values())))


def test_paused_partition_is_not_read_and_goes_on_where_it_was(clients: Clients) -> None:
    publish(clients, 0, 10)
    publish(clients, 1, 10)
    first, second = (TopicPartition(clients.topic, number) for number in (0, 1))
    consumer = clients.consumer(ConsumerOptions(max_poll_records=5))
    consumer.assign([first, second])
    consumer.pause([first])
    assert consumer.paused() == {first}
    assert {record.partition for record in read(consumer, 10)} == {1}
    assert consumer.poll(0.2) == {}
    consumer.resume([first])
    assert [(record.partition, record.offset) for record in read(consumer, 10)] == [(0, number) for number in range(10)]


def test_partition_that_was_paused_is_read_again_after_a_new_assignment(clients: Clients) -> None:
    publish(clients, 0, 4)
    consumer, first = clients.consumer(), TopicPartition(clients.topic, 0)
    for offset in (0, 3):
        consumer.assign([first])
        consumer.resume([first])
        consumer.seek(first, offset)
        assert read(consumer, 1)[0].offset == offset
        consumer.pause([first])


def test_time_is_found_by_its_offset(clients: Clients) -> None:
    publish(clients, 0, 3)
    first, empty = TopicPartition(clients.topic, 0), TopicPartition(clients.topic, 1)
    consumer = clients.consumer()
    consumer.assign([first])
    times = [record.timestamp for record in read(consumer, 3)]
    later = times[-1] + 1
    at_first, at_later = (consumer.offsets_for_times({first: time_ms, empty: time_ms}) for time_ms in (times[0], later))
    assert at_first == {first: 0 if clients.has_times else None, empty: None}
    assert at_later == {first: None, empty: None}


def test_commit_is_read_with_its_metadata(clients: Clients) -> None:
    first, second = TopicPartition(clients.topic, 0), TopicPartition(clients.topic, 1)
    clients.consumer(ConsumerOptions(group=clients.group)).commit({first: CommittedOffset(3, '{"a": 1}')})
    other = clients.consumer(ConsumerOptions(group=clients.group))
    assert other.committed(first, 5.0) == CommittedOffset(3, '{"a": 1}')
    assert other.committed(second) is None


def test_member_is_assigned_every_partition_and_each_begins_paused(clients: Clients) -> None:
    publish(clients, 0, 3)
    listener = Listener()
    consumer = member(clients, listener)
    assert not consumer.is_member
    poll_until(lambda: len(listener.owned) == 4, consumer)
    assert consumer.is_member
    assert consumer.assignment() == consumer.paused() == listener.owned
    assert consumer.poll(0.3) == {}
    consumer.resume([TopicPartition(clients.topic, 0)])
    assert [record.offset for record in read(consumer, 3)] == [0, 1, 2]


def test_second_member_gets_a_share_and_revoked_offsets_are_committed(clients: Clients) -> None:
    first, second = Listener(), Listener()
    one = member(clients, first)
    poll_until(lambda: len(first.owned) == 4, one)
    other = member(clients, second)
    poll_until(lambda: bool(second.owned) and len(first.owned | second.owned) == 4 and len(first.gained) > 1, one, other)
    assert not first.owned & second.owned
    assert first.given_up >= second.owned
    committed = other.committed(next(iter(second.owned)), 5.0)
    assert committed == (CommittedOffset(7, "given up") if clients.commits_while_rebalancing else None)


@pytest.mark.parametrize("clients", REBALANCING_AT_ONCE, indirect=True)
def test_cooperative_rebalance_moves_only_what_another_member_gets(clients: Clients) -> None:
    partitions = {TopicPartition(clients.topic, number) for number in range(4)}
    for partition in partitions:
        publish(clients, partition.partition, 2)
    first, second = Listener(), Listener()
    one = member(clients, first, cooperative=True)
    poll_until(lambda: first.owned == partitions, one)
    one.resume(partitions)
    assert len(read(one, 8)) == 8
    other = clients.cluster.consumer(ConsumerOptions(group=clients.group, session_timeout_seconds=6.0, cooperative=True))
    other.subscribe(clients.topic, second)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, one, other)
    assert first.owned | second.owned == partitions
    assert first.given_up == second.owned
    # What stays was neither revoked nor assigned again, is not paused, and goes on where it was.
    assert sum(map(len, first.gained)) == 4
    assert one.positions() == dict.fromkeys(first.owned, 2)
    assert one.paused() == set()
    for partition in first.owned:
        publish(clients, partition.partition, 1)
    assert {(record.partition, record.offset) for record in read(one, 2)} == {(partition.partition, 2) for partition in first.owned}
    assert other.paused() == other.assignment() == second.owned
    # The partitions of a member that leaves are added to those of the others.
    kept = set(first.owned)
    other.close(5.0)
    poll_until(lambda: first.owned == partitions, one)
    assert first.given_up == second.given_up == partitions - kept
    assert one.paused() == partitions - kept
    assert one.is_member


def test_close_commits_the_offsets_of_the_listener(clients: Clients) -> None:
    listener = Listener()
    consumer = clients.cluster.consumer(ConsumerOptions(group=clients.group, session_timeout_seconds=6.0))
    consumer.subscribe(clients.topic, listener)
    poll_until(lambda: len(listener.owned) == 4, consumer)
    consumer.close(5.0)
    assert len(listener.given_up) == 4
    reader = clients.consumer(ConsumerOptions(group=clients.group))
    assert reader.committed(TopicPartition(clients.topic, 2), 5.0) == CommittedOffset(7, "given up")


def test_member_goes_on_where_the_group_has_committed(clients: Clients) -> None:
    publish(clients, 0, 5)
    partition = TopicPartition(clients.topic, 0)
    clients.consumer(ConsumerOptions(group=clients.group)).commit({partition: CommittedOffset(3)})
    listener = Listener()
    consumer = member(clients, listener)
    poll_until(lambda: len(listener.owned) == 4, consumer)
    consumer.resume([partition])
    assert [record.offset for record in read(consumer, 2)] == [3, 4]


def test_commit_of_a_partition_is_refused_before_a_member_has_joined(clients: Clients) -> None:
    listener = Listener()
    owner = member(clients, listener)
    poll_until(lambda: len(listener.owned) == 4, owner)
    stranger = clients.consumer(ConsumerOptions(group=clients.group, session_timeout_seconds=6.0))
    stranger.subscribe(clients.topic, Listener())
    with pytest.raises(KafkaError):
        stranger.commit({TopicPartition(clients.topic, 0): CommittedOffset(9)}, 1.0)
    assert owner.committed(TopicPartition(clients.topic, 0), 5.0) is None
