"""Kafka clients: the one place that knows how to reach a broker, and what to say when nobody answers."""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from common.errors import BrokerUnreachable
from common.redaction import redact, redact_url
from eventing.kafka import access, fetcher
from eventing.kafka.security import OPEN, PROTOCOL, Security

logger = logging.getLogger("tidegate.kafka")

_BOOTSTRAP_SECONDS = 10.0
_NO_METRICS = {"metrics_enabled": False}


@dataclass(frozen=True, slots=True)
class Broker:
    """Where Kafka is: `host:port`, several by commas. `api_version` is only for brokers that cannot tell theirs, as the embedded one."""

    bootstrap_servers: str
    api_version: tuple[int, ...] | None = None
    security: Security = OPEN


def consumer(broker: Broker, **options: Any) -> KafkaConsumer:
    """A consumer that yields bytes and commits nothing by itself. Raises BrokerUnreachable or BrokerRefused within seconds.

    Never give it a deserializer: after one that raises, the next poll() spins for ever.
    """
    defaults = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
    client: KafkaConsumer = _connect(KafkaConsumer, broker, {**_NO_METRICS, **defaults, **options})
    fetcher.correct(client)
    return client


def producer(broker: Broker, **options: Any) -> KafkaProducer:
    """An idempotent producer (acks from all replicas), whose memory is not bounded: bound what is outstanding. Raises the same."""
    return _connect(KafkaProducer, broker, {**_NO_METRICS, **options})


def admin(broker: Broker) -> KafkaAdminClient:
    """A client that asks about topics and changes them. Raises the same."""
    return _connect(KafkaAdminClient, broker, {})


def _connect(client: Any, broker: Broker, options: dict[str, Any]) -> Any:
    _quieten()
    enter(broker)
    servers = broker.bootstrap_servers.split(",")
    milliseconds = int(_BOOTSTRAP_SECONDS * 1000)
    try:
        return client(
            bootstrap_servers=servers,
            api_version=broker.api_version,
            bootstrap_timeout_ms=milliseconds,
            **broker.security.options(),
            **options,
        )
    except KafkaError as error:
        access.enter(_listening(broker), broker.security, _BOOTSTRAP_SECONDS)
        raise _unreachable(broker, str(error) or type(error).__name__) from None


def enter(broker: Broker) -> None:
    """Raise BrokerUnreachable if nobody listens, and BrokerRefused if who listens does not let us in: a wrong password, for one.

    Where everybody is let in, only the first is looked at, which costs next to nothing.
    """
    address = _listening(broker)
    if broker.security != OPEN:
        _warn(broker)
        access.enter(address, broker.security, _BOOTSTRAP_SECONDS)


def knock(broker: Broker) -> None:
    """Raise BrokerUnreachable if nobody listens. The clients tell late or never: they connect in the background, and again and again."""
    _listening(broker)


def _listening(broker: Broker) -> access.Address:
    """The first address where somebody listens."""
    problem = "no address was given"
    for server in broker.bootstrap_servers.split(","):
        try:
            address = _address(server)
            socket.create_connection(address, timeout=_BOOTSTRAP_SECONDS).close()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        else:
            return address
    raise _unreachable(broker, problem)


def _address(server: str) -> access.Address:
    """Raises ValueError for a port that is none."""
    host, _, port = server.strip().rpartition(":")
    return (host.strip("[]"), int(port)) if host else (server.strip(), 9092)


def _unreachable(broker: Broker, problem: str) -> BrokerUnreachable:
    return BrokerUnreachable(
        f"no Kafka broker answers at {redact_url(broker.bootstrap_servers)} ({redact(problem)})",
        remedy="start one there, or name another address (TIDEGATE_BOOTSTRAP_SERVERS)",
    )


@cache
def _warn(broker: Broker) -> None:
    """Once in a process, however many clients it makes."""
    hosts = [_address(server)[0] for server in broker.bootstrap_servers.split(",")]
    if broker.security.protocol == "SASL_PLAINTEXT" and not all(map(_is_loopback, hosts)):
        secret = "the token" if broker.security.token_file else "the password"
        logger.warning(
            "nothing is encrypted on the way to Kafka at %s, and whoever listens there can learn %s; set %s to SASL_SSL",
            redact_url(broker.bootstrap_servers),
            secret,
            PROTOCOL,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _quieten() -> None:
    """kafka-python warns of every reconnection and rebalance, several times each; whoever sets its level knows better."""
    theirs = logging.getLogger("kafka")
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.CRITICAL)
