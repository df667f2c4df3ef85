"""The Kafka broker: one inside this process, or one that the user names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker
from eventing.kafka.security import PLAINTEXT, Security

EMBEDDED = "embedded"
# What librdkafka's mock cluster speaks; asked for more, kafka-python's negotiation fails.
_MOCK_API_VERSION = (2, 3)
# The mock cluster waits nearly as long before a killed worker's partitions move, and once more for each member that joins again.
_MOCK_SESSION_SECONDS = "6"
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Kafka:
    """`name` is "embedded" or the address that was named."""

    name: str
    broker: Broker

    def environment(self) -> dict[str, str]:
        """What every process is given, so that it finds the broker and is let in: all of it, or a manifest's own would be mixed with it."""
        found = {"TIDEGATE_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers, **self.broker.security.environment()}
        if self.broker.api_version:
            version = ".".join(map(str, self.broker.api_version))
            found |= {"TIDEGATE_KAFKA_API_VERSION": version, "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": _MOCK_SESSION_SECONDS}
        return found


@asynccontextmanager
async def reachable(bootstrap_servers: str | None, security: Security = PLAINTEXT) -> AsyncIterator[Kafka]:
    """The named broker, entered by `security`, or the embedded one, which lets everybody in.

    Raises BrokerUnreachable when nobody listens at the address that was named, BrokerRefused when who listens does not let us in.
    """
    if bootstrap_servers:
        named = Broker(bootstrap_servers, security=security)
        await asyncio.to_thread(KafkaCluster(named).check_access)
        yield Kafka(bootstrap_servers, named)
        return
    async with _embedded() as address:
        yield Kafka(EMBEDDED, Broker(address, _MOCK_API_VERSION))


@asynccontextmanager
async def _embedded() -> AsyncIterator[str]:
    """librdkafka's mock cluster, which lives as long as its client does. It keeps about 5 MB of each partition in memory."""
    # Imported here: who names a broker does not need it.
    from confluent_kafka import Producer

    client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    metadata = await asyncio.to_thread(client.list_topics, timeout=_START_SECONDS)
    (node,) = metadata.brokers.values()
    yield f"{node.host}:{node.port}"
    del client
