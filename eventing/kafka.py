"""Kafka clients: the one place that knows how to reach a broker, and what to say when nobody answers."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from eventing.errors import BrokerUnreachable

_BOOTSTRAP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where Kafka is: `host:port`, several by commas. `api_version` is only for brokers that cannot tell theirs, as the embedded one."""

    bootstrap_servers: str
    api_version: tuple[int, ...] | None = None


def consumer(broker: Broker, **options: Any) -> KafkaConsumer:
    """A consumer that yields bytes and commits nothing by itself. Raises BrokerUnreachable within seconds.

    Never give it a deserializer: after one that raises, the next poll() spins for ever.
    """
    return _connect(KafkaConsumer, broker, {"enable_auto_commit": False, "auto_offset_reset": "earliest", **options})


def producer(broker: Broker, **options: Any) -> KafkaProducer:
    """An idempotent producer (acks from all replicas), whose memory is not bounded: bound what is outstanding. Raises BrokerUnreachable."""
    return _connect(KafkaProducer, broker, options)


def _connect(client: Any, broker: Broker, options: dict[str, Any]) -> Any:
    _quieten()
    knock(broker)
    servers = broker.bootstrap_servers.split(",")
    milliseconds = int(_BOOTSTRAP_SECONDS * 1000)
    try:
        return client(
            bootstrap_servers=servers,
            api_version=broker.api_version,
            bootstrap_timeout_ms=milliseconds,
            metrics_enabled=False,
            **options,
        )
    except KafkaError as error:
        raise _unreachable(broker, str(error) or type(error).__name__) from None


def knock(broker: Broker) -> None:
    """Raise BrokerUnreachable if nobody listens. The clients tell late or never: they connect in the background, and again and again."""
    problem = "no address was given"
    for server in broker.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]") or server.strip(), int(port) if host else 9092), timeout=_BOOTSTRAP_SECONDS).close()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        else:
            return
    raise _unreachable(broker, problem)


def _unreachable(broker: Broker, problem: str) -> BrokerUnreachable:
    return BrokerUnreachable(
        f"no Kafka broker answers at {broker.bootstrap_servers} ({problem}); "
        "start one there, or name another address (TIDEGATE_BOOTSTRAP_SERVERS)."
    )


def _quieten() -> None:
    """kafka-python warns of every reconnection and rebalance, several times each; whoever sets its level knows better."""
    logger = logging.getLogger("kafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
