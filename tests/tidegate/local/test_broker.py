from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition
from eventing.kafka.security import PLAINTEXT
from tidegate.local.broker import EMBEDDED, Kafka, reachable


def through(found: Kafka) -> list[bytes | None]:
    """A record there and back again, as a worker with the variables of this broker would send and read it."""
    environ = found.environment()
    version = tuple(map(int, environ["TIDEGATE_KAFKA_API_VERSION"].split(".")))
    cluster = cluster_of(Broker(environ["TIDEGATE_BOOTSTRAP_SERVERS"], version))
    with closing(cluster.producer()) as producer, closing(cluster.consumer()) as consumer:
        delivery = producer.send("a.topic", Message(None, b"hello", []))
        producer.flush(10)
        consumer.assign([TopicPartition("a.topic", delivery.partition or 0)])
        while True:
            for records in consumer.poll(20).values():
                return [record.value for record in records]


async def test_embedded_broker_stores_records() -> None:
    async with reachable(None) as found:
        assert found.name == EMBEDDED
        assert found.environment()["TIDEGATE_KAFKA_API_VERSION"] == "2.3"
        assert await asyncio.to_thread(through, found) == [b"hello"]


async def test_named_broker_is_used_unchanged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        async with reachable(f"127.0.0.1:1,{address}") as found:
            assert found.name == f"127.0.0.1:1,{address}"
            assert found.environment() == {"TIDEGATE_BOOTSTRAP_SERVERS": f"127.0.0.1:1,{address}", **PLAINTEXT.environment()}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-port", "127.0.0.1:port"])
async def test_unreachable_broker_is_named(address: str) -> None:
    with pytest.raises(BrokerUnreachable, match="no Kafka broker answers at"):
        async with reachable(address):
            raise AssertionError
