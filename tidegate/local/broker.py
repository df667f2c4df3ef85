"""The Kafka broker: embedded in this process, an Apache Kafka beside it, or named by the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker
from eventing.kafka.security import PLAINTEXT, Security
from tidegate.local.apache import server
from tidegate.local.processes.orphan_reaper import OrphanReaper

EMBEDDED = "embedded"
APACHE = "apache"
OWN = (EMBEDDED, APACHE)
"""The brokers that belong to a `tidegate up`, and need no credentials."""

# The API version of librdkafka's mock cluster, with which kafka-python's negotiation fails.
_MOCK_API_VERSION = (2, 3)
# The mock cluster waits almost this long before it reassigns the partitions of a killed worker, and again for each
# member that rejoins.
_MOCK_SESSION_SECONDS = "6"
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker that is reachable. `name` is "embedded", "apache" or the address that the user gave."""

    name: str
    broker: Broker

    def environment(self) -> dict[str, str]:
        """The variables by which a process connects to the broker.

        All of them are set, so that those of a manifest are not mixed in.
        """
        found = {"TIDEGATE_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers, **self.broker.security.environment()}
        if self.broker.api_version:
            version = ".".join(map(str, self.broker.api_version))
            found |= {"TIDEGATE_KAFKA_API_VERSION": version, "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": _MOCK_SESSION_SECONDS}
        return found


@asynccontextmanager
async def reachable(bootstrap_servers: str | None, security: Security = PLAINTEXT) -> AsyncIterator[Kafka]:
    """The named broker, checked with the credentials of `security`, or the embedded one, which needs none.

    Raises BrokerUnreachable if no broker answers at the address, and BrokerRefused if it rejects the credentials.
    """
    if bootstrap_servers:
        named = Broker(bootstrap_servers, security=security)
        await asyncio.to_thread(cluster_of(named).check_access)
        yield Kafka(bootstrap_servers, named)
        return
    async with _embedded() as address:
        yield Kafka(EMBEDDED, Broker(address, _MOCK_API_VERSION))


@asynccontextmanager
async def apache(options: server.Options, reaper: OrphanReaper, hurry: asyncio.Event) -> AsyncIterator[Kafka]:
    """An Apache Kafka on this machine, for as long as the context. Raises MissingProgram or StartFailed."""
    async with server.running(options, reaper, hurry) as address:
        yield Kafka(APACHE, Broker(address))


@asynccontextmanager
async def _embedded() -> AsyncIterator[str]:
    """librdkafka's mock cluster, which runs for as long as its client exists.

    It keeps about 5 MB of each partition in memory.
    """
    # Imported here, since a named broker does not need it.
    from confluent_kafka import Producer

    client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    metadata = await asyncio.to_thread(client.list_topics, timeout=_START_SECONDS)
    (node,) = metadata.brokers.values()
    yield f"{node.host}:{node.port}"
    del client
