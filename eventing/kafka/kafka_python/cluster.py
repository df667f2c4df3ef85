"""Clients of kafka-python for one cluster, with an error in seconds where the library would retry in silence."""

from __future__ import annotations

import logging
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, TransactionalIdAuthorizationFailedError
from kafka.version import __version__

from eventing.kafka import access
from eventing.kafka.errors import TransactionsUnsupported
from eventing.kafka.kafka_python import fetcher, transactions
from eventing.kafka.kafka_python.admin import AdminAdapter
from eventing.kafka.kafka_python.assignors import assignors
from eventing.kafka.kafka_python.consumer import ConsumerAdapter
from eventing.kafka.kafka_python.errors import translate
from eventing.kafka.kafka_python.handshake import check_handshake
from eventing.kafka.kafka_python.options import security_options
from eventing.kafka.kafka_python.producer import ProducerAdapter
from eventing.kafka.kafka_python.transactions import TransactionalProducerAdapter
from eventing.kafka.port import DEFAULT_CONSUMER, DEFAULT_PRODUCER, Broker, ConsumerOptions, ProducerOptions, TransactionOptions
from eventing.kafka.security import PLAINTEXT

_BOOTSTRAP_SECONDS = 10.0
_RETRY_MS = 20
_NO_METRICS = {"metrics_enabled": False}


class KafkaCluster:
    """The `Cluster` of the port by kafka-python. Nothing is connected to before a client is made."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> ConsumerAdapter:
        """Return a consumer of bytes without automatic commits.

        It has no deserializer: after one that raises, each later poll of the library would never return.
        """
        given: dict[str, Any] = {
            "group_id": options.group,
            "group_instance_id": options.instance,
            "session_timeout_ms": _milliseconds(options.session_timeout_seconds),
            "heartbeat_interval_ms": _milliseconds(options.session_timeout_seconds and options.session_timeout_seconds / 4),
            "max_poll_interval_ms": _milliseconds(options.max_poll_interval_seconds),
            "max_poll_records": options.max_poll_records,
            "metadata_max_age_ms": _milliseconds(options.metadata_max_age_seconds),
            "isolation_level": "read_committed" if options.read_committed else None,
        }
        reset = "latest" if options.latest else "earliest"
        strategies = assignors(options.cooperative)
        given["partition_assignment_strategy"] = strategies
        client = self._connect(KafkaConsumer, {**_NO_METRICS, "enable_auto_commit": False, "auto_offset_reset": reset, **_set(given)})
        fetcher.correct(client)
        return ConsumerAdapter(client, strategies)

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> ProducerAdapter:
        return ProducerAdapter(self._connect(KafkaProducer, _producer_options(options)))

    def transactional_producer(self, options: TransactionOptions) -> TransactionalProducerAdapter:
        access.check_transactions(self._broker, self._broker.api_version)
        timeout = _milliseconds(options.timeout_seconds)
        given = {
            **_producer_options(options),
            "transactional_id": options.transactional_id,
            "transaction_timeout_ms": timeout,
            "delivery_timeout_ms": timeout,
            "request_timeout_ms": int(options.timeout_seconds * 1000 - options.linger_seconds * 1000),
            # The broker asks for a retry while it still ends the transaction before.
            "retry_backoff_ms": _RETRY_MS,
        }
        client = self._connect(KafkaProducer, given)
        try:
            access.check_transactions(self._broker, client.config["api_version"])
            if not transactions.is_correctable(client):
                raise TransactionsUnsupported(
                    f"transactions need other private parts than kafka-python {__version__} has", remedy="install kafka-python 3.0.12"
                )
            transactions.correct(client)
            client.init_transactions()
        except TransactionalIdAuthorizationFailedError:
            client.close(0)
            access.raise_id_refused(options.transactional_id)
        except KafkaError as error:
            client.close(0)
            raise translate(error) from error
        except TransactionsUnsupported:
            client.close(0)
            raise
        return TransactionalProducerAdapter(client, options)

    def admin(self) -> AdminAdapter:
        return AdminAdapter(self._connect(KafkaAdminClient, {}))

    def check_access(self) -> None:
        """Raise BrokerUnreachable or BrokerRefused.

        Without security, only a TCP connection is made, which costs next to nothing.
        """
        broker = self._broker
        address = access.listening_address(broker, _BOOTSTRAP_SECONDS)
        if broker.security != PLAINTEXT:
            access.warn_if_readable(broker)
            check_handshake(address, broker.security, _BOOTSTRAP_SECONDS)

    def _connect(self, client: Any, options: dict[str, Any]) -> Any:
        _silence_library()
        self.check_access()
        broker = self._broker
        try:
            return client(
                bootstrap_servers=broker.bootstrap_servers.split(","),
                api_version=broker.api_version,
                bootstrap_timeout_ms=_milliseconds(_BOOTSTRAP_SECONDS),
                reconnect_backoff_max_ms=_milliseconds(access.RECONNECT_SECONDS),
                **security_options(broker.security),
                **options,
            )
        except KafkaError as error:
            check_handshake(access.listening_address(broker, _BOOTSTRAP_SECONDS), broker.security, _BOOTSTRAP_SECONDS)
            raise access.unreachable(broker, str(error) or type(error).__name__) from None


def _producer_options(options: ProducerOptions) -> dict[str, Any]:
    given = {
        "linger_ms": _milliseconds(options.linger_seconds),
        "max_block_ms": _milliseconds(options.block_seconds),
        "delivery_timeout_ms": _milliseconds(options.delivery_timeout_seconds),
        "batch_size": options.batch_bytes,
        "max_request_size": options.max_request_bytes,
    }
    return {**_NO_METRICS, **_set(given)}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _set(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _silence_library() -> None:
    """Silence kafka-python unless its level was set: it warns several times of each reconnection and rebalance."""
    library = logging.getLogger("kafka")
    if library.level == logging.NOTSET:
        library.setLevel(logging.CRITICAL)
