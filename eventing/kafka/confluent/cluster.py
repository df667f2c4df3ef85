"""Clients of confluent-kafka for one cluster, with an error in seconds where librdkafka would retry in silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import AdminClient

from eventing.kafka import access
from eventing.kafka.access import Address
from eventing.kafka.confluent.admin import AdminAdapter, has_controller
from eventing.kafka.confluent.consumer import ConsumerAdapter
from eventing.kafka.confluent.errors import translate
from eventing.kafka.confluent.handshake import Rejection, check_listener
from eventing.kafka.confluent.options import security_options
from eventing.kafka.confluent.producer import ProducerAdapter
from eventing.kafka.confluent.transactions import Connections, TransactionalProducerAdapter
from eventing.kafka.port import DEFAULT_CONSUMER, DEFAULT_PRODUCER, Broker, ConsumerOptions, ProducerOptions, TransactionOptions
from eventing.kafka.security import PLAINTEXT

_BOOTSTRAP_SECONDS = 10.0
# How long a refusal may go unnoticed at first; later rounds are longer, for a slow broker.
_ROUND_SECONDS = 0.2
_SILENT = {"log_level": 0}
# The other client's defaults, so that a change of the client changes nothing but the speed.
_MAX_POLL_RECORDS = 500
_MAX_REQUEST_BYTES = 2**20
_BLOCK_SECONDS = 60.0
_SESSION_SECONDS = 45.0
_CONSUMER = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_uncommitted",
    "check.crcs": True,
    "enable.partition.eof": True,
    # Both clients must offer a strategy in common to be in one group.
    "partition.assignment.strategy": "range,roundrobin",
    # The longest wait for an answer, such as to the commit of revoked partitions, for which the group waits.
    "socket.timeout.ms": 10_000,
    # A partition that is resumed waits for the end of a fetch, and of a pause after a full queue: of a second by default.
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 20,
    # What is fetched ahead: librdkafka's own limit is 64 MiB.
    "queued.max.messages.kbytes": 32 * 1024,
}
_PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    # Librdkafka's own default sends the records of a key elsewhere than all other clients do.
    "partitioner": "murmur2_random",
    # The memory of records that are not acknowledged. Callers that bound them never reach these.
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 256 * 1024,
}
# Librdkafka wants a group of every consumer, and uses it only to commit or to join.
_NO_GROUP = "tidegate-without-group"


class ConfluentCluster:
    """The `Cluster` of the port by confluent-kafka. Nothing is connected to before a client is made.

    `api_version` is not needed: librdkafka asks the broker, and the embedded one is librdkafka's own.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> ConsumerAdapter:
        """Return a consumer of bytes without automatic commits."""
        session = options.session_timeout_seconds
        max_poll = options.max_poll_interval_seconds
        given: dict[str, Any] = {
            "group.id": options.group or _NO_GROUP,
            "group.instance.id": options.instance,
            "session.timeout.ms": _milliseconds(session),
            "heartbeat.interval.ms": _milliseconds(session and session / 4),
            # Librdkafka accepts none that is shorter than the session.
            "max.poll.interval.ms": _milliseconds(max_poll and max(max_poll, session or _SESSION_SECONDS)),
            "topic.metadata.refresh.interval.ms": _milliseconds(options.metadata_max_age_seconds),
            "isolation.level": "read_committed" if options.read_committed else None,
        }
        if options.latest:
            given["auto.offset.reset"] = "latest"
        if options.cooperative:
            given["partition.assignment.strategy"] = "cooperative-sticky"
        client = self._connect(Consumer, {**_CONSUMER, **_set(given)})
        most = options.max_poll_records or _MAX_POLL_RECORDS
        return ConsumerAdapter(client, most=most, group=options.group, cooperative=options.cooperative)

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> ProducerAdapter:
        most, block = _limits(options)
        return ProducerAdapter(self._connect(Producer, _producer_options(options)), most_bytes=most, block_seconds=block)

    def transactional_producer(self, options: TransactionOptions) -> TransactionalProducerAdapter:
        access.check_transactions(self._broker, self._broker.api_version)
        timeout, connections = _milliseconds(options.timeout_seconds), Connections()
        given = {
            **_producer_options(options),
            "transactional.id": options.transactional_id,
            "transaction.timeout.ms": timeout,
            "delivery.timeout.ms": timeout,
            # Librdkafka accepts none that is as long as the transaction.
            "socket.timeout.ms": max(10, int(options.timeout_seconds * 1000) - 100),
            **connections.options,
        }
        client = self._connect(Producer, given)
        most, block = _limits(options)
        if not has_controller(client):
            access.raise_no_transactions(self._broker, "is the embedded broker")
        try:
            client.init_transactions(block)
        except KafkaException as error:
            if error.args[0].code() == Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                access.raise_id_refused(options.transactional_id)
            raise translate(error) from error
        return TransactionalProducerAdapter(
            client, connections, transactional_id=options.transactional_id, most_bytes=most, block_seconds=block
        )

    def admin(self) -> AdminAdapter:
        return AdminAdapter(self._connect(AdminClient, {}))

    def check_access(self) -> None:
        """Raise BrokerUnreachable or BrokerRefused.

        Without security, only a TCP connection is made, which costs next to nothing.
        """
        address, security = access.listening_address(self._broker, _BOOTSTRAP_SECONDS), self._broker.security
        if security != PLAINTEXT:
            access.warn_if_readable(self._broker)
            check_listener(address, security, _BOOTSTRAP_SECONDS)
        if security.authenticated:
            self._made(AdminClient, {}, address)

    def _connect(self, make: Callable[[dict[str, Any]], Any], options: dict[str, Any]) -> Any:
        address = access.listening_address(self._broker, _BOOTSTRAP_SECONDS)
        if self._broker.security != PLAINTEXT:
            access.warn_if_readable(self._broker)
            check_listener(address, self._broker.security, _BOOTSTRAP_SECONDS)
        return self._made(make, options, address)

    def _made(self, make: Callable[[dict[str, Any]], Any], options: dict[str, Any], address: Address) -> Any:
        """Make a client and wait until a broker has answered it."""
        broker, rejection = self._broker, Rejection()
        servers = {
            "bootstrap.servers": broker.bootstrap_servers,
            "error_cb": rejection.note,
            "reconnect.backoff.max.ms": _milliseconds(access.RECONNECT_SECONDS),
        }
        try:
            client = make({**servers, **_SILENT, **security_options(broker.security), **options})
        except (KafkaException, ValueError) as error:
            raise access.unreachable(broker, str(translate(error))) from None
        until, round_seconds = time.monotonic() + _BOOTSTRAP_SECONDS, _ROUND_SECONDS
        while True:
            try:
                client.list_topics(timeout=round_seconds)
            except KafkaException as error:
                client.poll(0)  # which calls for the errors
                rejection.raise_noted(address, broker.security)
                if time.monotonic() >= until:
                    check_listener(address, broker.security, _BOOTSTRAP_SECONDS)
                    raise access.unreachable(broker, str(translate(error))) from None
                round_seconds = min(2 * round_seconds, _BOOTSTRAP_SECONDS / 2)
            else:
                return client


def _limits(options: ProducerOptions) -> tuple[int, float]:
    """Return the most bytes of a record, and how long a call may wait."""
    most = options.max_request_bytes or _MAX_REQUEST_BYTES
    return most, _BLOCK_SECONDS if options.block_seconds is None else options.block_seconds


def _producer_options(options: ProducerOptions) -> dict[str, Any]:
    given = {
        "linger.ms": _milliseconds(options.linger_seconds),
        "delivery.timeout.ms": _milliseconds(options.delivery_timeout_seconds),
        "batch.size": options.batch_bytes,
        "message.max.bytes": _limits(options)[0],
    }
    return {**_PRODUCER, **_set(given)}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _set(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
