"""A request to end a transaction that arrives after the client has given it up, or has sent it again.

Such a request (EndTxn up to version 3) does not say which transaction of its producer it means.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.errors import TransactionInDoubt
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, Cluster, ConsumerOptions, TransactionalProducer, TransactionOptions
from tests.eventing.kafka.contract.test_transactions import values
from tests.fixtures.proxies import END_TXN

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache
    from tests.fixtures.proxies import Proxy

SECONDS = 30.0


class Writer:
    """Producers with one transactional id, behind the proxy, and a reader beside it."""

    def __init__(self, cluster: Cluster, reading: Cluster, stack: ExitStack) -> None:
        self.topic = f"delayed-{uuid.uuid4().hex[:8]}"
        self._cluster = cluster
        self._stack = stack
        self._reader = reading.consumer(ConsumerOptions(read_committed=True))
        stack.callback(self._reader.close, 5.0)

    def producer(self) -> TransactionalProducer:
        producer = self._cluster.transactional_producer(TransactionOptions(transactional_id=self.topic, block_seconds=20.0))
        self._stack.callback(producer.close, 5.0)
        producer.partitions_for(self.topic)
        return producer

    def send(self, producer: TransactionalProducer, value: bytes) -> None:
        producer.send(self.topic, Message(None, value, []), 0)
        producer.flush(SECONDS)

    def committed(self, count: int) -> list[bytes | None]:
        return values(self._reader, self.topic, count)


@pytest.fixture(params=[KafkaCluster, ConfluentCluster])
def writer(request: pytest.FixtureRequest, proxy: Proxy, apache: Apache) -> Iterator[Writer]:
    with ExitStack() as stack:
        yield Writer(request.param(Broker(proxy.servers)), KafkaCluster(Broker(apache.at("PLAINTEXT"))), stack)


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_end_that_arrives_after_its_time_out_does_not_end_the_next_transaction(writer: Writer, proxy: Proxy, end: str) -> None:
    producer = writer.producer()
    producer.begin()
    writer.send(producer, b"first")
    proxy.hold(END_TXN)
    with pytest.raises(TransactionInDoubt):
        getattr(producer, end)(0.5)
    with pytest.raises(TransactionInDoubt):
        producer.begin()
    producer.close(0.5)
    end_next_transaction(writer, proxy)


def test_end_whose_connection_is_lost_does_not_end_the_next_transaction(writer: Writer, proxy: Proxy) -> None:
    producer = writer.producer()
    producer.begin()
    writer.send(producer, b"first")
    proxy.hold(END_TXN)
    with ThreadPoolExecutor(1) as pool:
        committing = pool.submit(producer.commit, SECONDS)
        held = proxy.held()
        held.disconnect()
        with pytest.raises(TransactionInDoubt):
            committing.result(SECONDS)
    proxy.put_back(held)
    producer.close(0.5)
    assert writer.committed(0) in ([], [b"first"])
    end_next_transaction(writer, proxy)


def end_next_transaction(writer: Writer, proxy: Proxy) -> None:
    """Let the held request arrive in the middle of the next transaction."""
    newer = writer.producer()
    before = writer.committed(0)
    newer.begin()
    writer.send(newer, b"second")
    proxy.held().release()
    assert writer.committed(0) == before
    writer.send(newer, b"third")
    newer.commit(SECONDS)
    assert writer.committed(len(before) + 2) == [*before, b"second", b"third"]
