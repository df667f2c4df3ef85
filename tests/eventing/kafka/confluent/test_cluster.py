"""What the adapter for confluent-kafka has to get right beside the contract."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.confluent import cluster
from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.errors import BrokerUnreachable, KafkaError, RequestTimedOut
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, ConsumedRecord, ConsumerOptions, Offsets, ProducerOptions, TopicPartition

SECONDS = 30.0


class Owner:
    def __init__(self) -> None:
        self.partitions: set[TopicPartition] = set()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.partitions |= set(partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        self.partitions -= set(partitions)
        return {}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.partitions -= set(partitions)


@pytest.fixture
def topic() -> str:
    return f"confluent-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("client", [ConfluentCluster.consumer, ConfluentCluster.producer, ConfluentCluster.admin])
@pytest.mark.parametrize("servers", ["127.0.0.1:1", "nowhere.invalid:9092", "127.0.0.1:port", ""])
def test_unreachable_broker_is_one_sentence(client: Callable[[ConfluentCluster], object], servers: str) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at .*TIDEGATE_BOOTSTRAP_SERVERS") as caught:
        client(ConfluentCluster(Broker(servers)))
    assert "\n" not in str(caught.value)


def test_silent_listener_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_BOOTSTRAP_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BrokerUnreachable):
        ConfluentCluster(Broker(f"127.0.0.1:{server.getsockname()[1]}")).consumer()


def test_one_reachable_address_is_enough(broker: Broker) -> None:
    with closing(ConfluentCluster(Broker(f"127.0.0.1:1,{broker.bootstrap_servers}")).producer()) as producer:
        assert producer.partitions_for("anything")


def test_key_decides_the_same_partition_as_with_the_other_client(broker: Broker, topic: str) -> None:
    places = []
    for library in (KafkaCluster, ConfluentCluster):
        with closing(library(broker).producer()) as producer:
            producer.partitions_for(topic)
            deliveries = [producer.send(topic, Message(b"key-%d" % number, b"", [])) for number in range(20)]
            producer.flush(SECONDS)
            places.append([delivery.partition for delivery in deliveries])
    assert places[0] == places[1]
    assert len(set(places[0])) > 1


def test_null_values_and_headers_of_any_bytes_are_read(broker: Broker, topic: str) -> None:
    with closing(ConfluentCluster(broker).producer()) as producer, closing(ConfluentCluster(broker).consumer()) as consumer:
        producer.send(topic, Message(b"\xff", None, [("a", b"\xff\x00"), ("a", b"")]), 0)
        producer.flush(SECONDS)
        consumer.assign([TopicPartition(topic, 0)])
        ((record,),) = poll(consumer.poll).values()
    assert (record.key, record.value, list(record.headers)) == (b"\xff", None, [("a", b"\xff\x00"), ("a", b"")])


def test_partition_can_be_sought_as_soon_as_it_is_assigned(broker: Broker, topic: str) -> None:
    partitions = [TopicPartition(topic, number) for number in range(4)]
    with closing(ConfluentCluster(broker).producer()) as producer, closing(ConfluentCluster(broker).consumer()) as consumer:
        for partition in partitions:
            for _ in range(3):
                producer.send(topic, Message(None, b"value", []), partition.partition)
        producer.flush(SECONDS)
        for partition in partitions:
            consumer.assign([partition])
            consumer.seek(partition, 2)
            assert [record.offset for record in poll(consumer.poll)[partition]] == [2]


def test_members_with_both_clients_share_a_group(broker: Broker, topic: str) -> None:
    owners, stop = (Owner(), Owner()), threading.Event()
    with closing(KafkaCluster(broker).producer()) as producer:
        every = {TopicPartition(topic, number) for number in producer.partitions_for(topic)}
    options = ConsumerOptions(group=f"group-{topic}", session_timeout_seconds=6.0)

    def shared() -> bool:
        first, second = (set(owner.partitions) for owner in owners)
        return bool(first and second) and first | second == every and not first & second

    def take_part(library: type[KafkaCluster | ConfluentCluster], owner: Owner) -> None:
        with closing(library(broker).consumer(options)) as consumer:
            consumer.subscribe(topic, owner)
            while not stop.is_set():
                try:
                    consumer.poll(1.3)
                except KafkaError:
                    continue  # the embedded broker may refuse a request to join; the next is accepted
                if shared():
                    stop.set()

    threads = [
        threading.Thread(target=take_part, args=(library, owner), daemon=True)
        for library, owner in zip((KafkaCluster, ConfluentCluster), owners, strict=True)
    ]
    for thread in threads:
        thread.start()
    assert stop.wait(2 * SECONDS)
    for thread in threads:
        thread.join()


def test_cluster_without_a_controller_is_an_error_at_once(broker: Broker) -> None:
    with closing(ConfluentCluster(broker).admin()) as admin, pytest.raises(KafkaError, match="names no controller"):
        admin.max_message_bytes(["any"])


def test_record_without_a_broker_is_reported_when_the_producer_closes(topic: str) -> None:
    from confluent_kafka import Producer

    mock = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    (node,) = mock.list_topics(timeout=SECONDS).brokers.values()
    producer = ConfluentCluster(Broker(f"{node.host}:{node.port}")).producer(ProducerOptions(block_seconds=1.0))
    producer.partitions_for(topic)
    del mock
    delivery, reported = producer.send(topic, Message(None, b"value", []), 0), threading.Event()
    delivery.add_done_callback(lambda _: reported.set())
    with pytest.raises(RequestTimedOut, match=r"1 records were not acknowledged within 0.2 s"):
        producer.close(0.2)
    assert reported.wait(SECONDS)
    assert delivery.error is not None
    assert delivery.offset is None


def poll(call: Callable[[float], Mapping[TopicPartition, Sequence[ConsumedRecord]]]) -> Mapping[TopicPartition, Sequence[ConsumedRecord]]:
    while True:
        if found := call(1.0):
            return found
