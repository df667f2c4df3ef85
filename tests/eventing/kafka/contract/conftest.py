"""The clusters of the port's contract: the in-memory one, and those of each library with the embedded broker and with
Apache Kafka.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import (
    DEFAULT_CONSUMER,
    DEFAULT_PRODUCER,
    Broker,
    Cluster,
    Consumer,
    ConsumerOptions,
    Producer,
    ProducerOptions,
    TransactionalProducer,
    TransactionOptions,
)

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

PARTITIONS = 4


@dataclass(frozen=True)
class Clients:
    """Makes clients of one cluster and closes them; `topic` has four partitions."""

    cluster: Cluster
    topic: str
    group: str
    stack: ExitStack
    commits_while_rebalancing: bool
    """Whether the broker accepts a commit of partitions that are being revoked; librdkafka's mock refuses it."""
    servers: str
    """The address of the broker; empty in memory."""
    has_times: bool
    """Whether the broker finds offsets by time; librdkafka's mock does not."""

    def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> Consumer:
        consumer = self.cluster.consumer(options)
        self.stack.callback(consumer.close, 5.0)
        return consumer

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> Producer:
        producer = self.cluster.producer(options)
        self.stack.callback(producer.close, 5.0)
        return producer

    def transactional_producer(self, name: str = "writer") -> TransactionalProducer:
        """Make a producer whose transactional id has the test's own prefix."""
        options = TransactionOptions(transactional_id=f"{self.topic}-{name}", block_seconds=20.0)
        producer = self.cluster.transactional_producer(options)
        self.stack.callback(producer.close, 5.0)
        return producer


def _apache(apache: Apache, topic: str) -> Broker:
    servers = apache.at("PLAINTEXT")
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    return Broker(servers)


_ISOLATING = ["fake", "kafka-python apache", "confluent apache"]


@pytest.fixture(params=[*_ISOLATING, "kafka-python embedded", "confluent embedded"])
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    yield from _clients(request)


@pytest.fixture(params=_ISOLATING)
def isolating(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Clients of a cluster that isolates transactions, which the embedded broker does not."""
    yield from _clients(request)


def _clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    name = uuid.uuid4().hex[:8]
    topic = f"contract-{name}"
    library, _, kind = request.param.partition(" ")
    libraries: dict[str, Callable[[Broker], Cluster]] = {"kafka-python": KafkaCluster, "confluent": ConfluentCluster}
    brokers: dict[str, Callable[[], Broker]] = {
        "embedded": lambda: request.getfixturevalue("broker"),
        "apache": lambda: _apache(request.getfixturevalue("apache"), topic),
    }
    broker = brokers[kind]() if kind else Broker("")
    cluster = libraries[library](broker) if kind else FakeCluster(partitions=PARTITIONS)
    with ExitStack() as stack:
        found = Clients(cluster, topic, f"group-{name}", stack, kind != "embedded", broker.bootstrap_servers, kind != "embedded")
        assert found.producer().partitions_for(topic) == set(range(PARTITIONS))
        yield found
