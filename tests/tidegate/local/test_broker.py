from __future__ import annotations

import asyncio
import socket
from itertools import islice

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from common.errors import BrokerUnreachable
from eventing.kafka.security import OPEN
from tidegate.local.broker import EMBEDDED, Kafka, reachable


def through(found: Kafka) -> list[bytes]:
    """A record there and back again, as a worker with the variables of this broker would send and read it."""
    common = {"bootstrap_servers": found.environment()["TIDEGATE_BOOTSTRAP_SERVERS"], "api_version": (2, 3)}
    producer = KafkaProducer(**common)
    sent = producer.send("a.topic", value=b"hello").get(timeout=10)
    producer.close()
    consumer = KafkaConsumer(auto_offset_reset="earliest", consumer_timeout_ms=20_000, **common)
    consumer.assign([TopicPartition("a.topic", sent.partition)])
    values = [record.value for record in islice(consumer, 1)]
    consumer.close()
    return values


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
            assert found.environment() == {"TIDEGATE_BOOTSTRAP_SERVERS": f"127.0.0.1:1,{address}", **OPEN.environment()}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-port", "127.0.0.1:port"])
async def test_unreachable_broker_is_named(address: str) -> None:
    with pytest.raises(BrokerUnreachable, match="no Kafka broker answers at"):
        async with reachable(address):
            raise AssertionError
