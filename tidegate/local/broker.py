"""The Kafka broker: one inside this process, or one that the user names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventing.errors import BrokerUnreachable

EMBEDDED = "embedded"
# What librdkafka's mock cluster speaks; asked for more, kafka-python's negotiation fails.
_MOCK_API_VERSION = "2.3"
# The mock cluster waits nearly as long before a killed worker's partitions move, and once more for each member that joins again.
_MOCK_SESSION_SECONDS = "6"
_START_SECONDS = 10.0
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Broker:
    """`kafka` is "embedded" or the address; `api_version` is None where clients may find it out by themselves."""

    kafka: str
    bootstrap_servers: str
    api_version: str | None = None

    def environment(self) -> dict[str, str]:
        """What every process is given, so that it finds the broker."""
        found = {"TIDEGATE_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        if self.api_version:
            found |= {"TIDEGATE_KAFKA_API_VERSION": self.api_version, "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": _MOCK_SESSION_SECONDS}
        return found


@asynccontextmanager
async def broker(bootstrap_servers: str | None) -> AsyncIterator[Broker]:
    """Raises BrokerUnreachable when nobody listens at the address that was named."""
    if bootstrap_servers:
        await _check(bootstrap_servers)
        yield Broker(bootstrap_servers, bootstrap_servers)
        return
    async with _embedded() as address:
        yield Broker(EMBEDDED, address, _MOCK_API_VERSION)


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


async def _check(bootstrap_servers: str) -> None:
    addresses = [address.strip() for address in bootstrap_servers.split(",") if address.strip()]
    if not any(await asyncio.gather(*(_answers(address) for address in addresses))):
        raise BrokerUnreachable(
            f"no Kafka broker answers at {bootstrap_servers}; start it, correct --bootstrap-servers, or leave it out for the embedded one."
        )


async def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), family=socket.AF_UNSPEC)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
