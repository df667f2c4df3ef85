"""The port's producer with transactions by confluent-kafka."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from eventing.codecs.kafka import Message
from eventing.kafka.confluent.errors import translate
from eventing.kafka.confluent.producer import ProducerAdapter
from eventing.kafka.errors import Fenced, KafkaError, MemberFenced, RequestTimedOut, TransactionAbortable, TransactionInDoubt
from eventing.kafka.port import Delivery, GroupMetadata, Offsets

_STALE = {Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID, Code.REBALANCE_IN_PROGRESS}
# Librdkafka's levels are those of syslog: at this one it logs each connection that is lost.
_INFO = 6


class Connections(logging.Handler):
    """Counts the connections that a client has lost.

    Librdkafka sends their requests again, and says so only in its log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        logger = logging.Logger("librdkafka")  # noqa: LOG001 of this client alone
        logger.addHandler(self)
        self.options = {"logger": logger, "log_level": _INFO}

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("FAIL "):
            self.lost += 1


class TransactionalProducerAdapter(ProducerAdapter):
    """A producer that is of no more use once a connection was lost in a transaction.

    A request on that connection may still arrive, and does not say which transaction of the producer it means: it could
    end the next one half-way.
    """

    def __init__(self, client: Any, connections: Connections, *, transactional_id: str, most_bytes: int, block_seconds: float) -> None:
        super().__init__(client, most_bytes=most_bytes, block_seconds=block_seconds)
        self._connections = connections
        self._id = transactional_id
        self._open = False
        self._in_doubt = False
        self._is_used_up = False
        self._sent: list[Delivery] = []
        self._lost = 0

    def begin(self) -> None:
        if self._is_used_up:
            raise self._doubt("a record was refused before")
        self._lost = self._connections.lost
        self._sent = []
        self._call(self._client.begin_transaction)
        self._open = True

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        delivery = super().send(topic, message, partition)
        self._sent.append(delivery)
        return delivery

    def send_offsets(self, offsets: Offsets, member: GroupMetadata, timeout_seconds: float) -> None:
        if not isinstance(member, MemberMetadata):
            raise TypeError("the group metadata is of another client.")
        given = [ClientPartition(*partition, found.offset, found.metadata) for partition, found in offsets.items()]
        self._call(lambda: self._client.send_offsets_to_transaction(given, member.client, timeout_seconds))

    def flush(self, timeout_seconds: float) -> None:
        try:
            super().flush(timeout_seconds)
        except RequestTimedOut as error:
            raise self._abortable(error) from error
        for delivery in self._sent:
            if (refused := delivery.error) is not None:
                raise self._fenced() if isinstance(refused, Fenced) else self._abortable(refused)

    def commit(self, timeout_seconds: float) -> None:
        self._call(lambda: self._client.commit_transaction(timeout_seconds))
        self._end()

    def abort(self, timeout_seconds: float) -> None:
        if not self._open:
            return
        self._call(lambda: self._client.abort_transaction(timeout_seconds))
        self._end()

    def close(self, timeout_seconds: float = 5.0) -> None:
        if not self._in_doubt:
            with suppress(KafkaError):
                self.abort(timeout_seconds)
        with suppress(KafkaError):
            super().close(0 if self._in_doubt else timeout_seconds)

    def _end(self) -> None:
        self._open = False
        with suppress(KafkaException):
            self._client.poll(0)  # which counts lost connections
        if self._connections.lost != self._lost:
            raise self._doubt("a connection was lost meanwhile")

    def _call(self, call: Callable[[], Any]) -> None:
        if self._in_doubt:
            raise self._doubt("an earlier request was not answered")
        try:
            call()
        except (KafkaException, RuntimeError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> KafkaError:
        found = translate(error)
        code = error.args[0] if isinstance(error, KafkaException) else None
        if isinstance(found, Fenced) and code is not None and code.code() not in _STALE:
            return self._fenced()
        if code is None or code.fatal() or not code.txn_requires_abort():
            return self._doubt(found.message)
        return MemberFenced(found.message) if code.code() in _STALE else self._abortable(found)

    def _abortable(self, reason: KafkaError) -> TransactionAbortable:
        self._is_used_up = True
        return TransactionAbortable(reason)

    def _fenced(self) -> Fenced:
        self._in_doubt = True
        return Fenced(f"a newer producer with the transactional id {self._id} has taken over, or the transaction timed out")

    def _doubt(self, reason: str) -> TransactionInDoubt:
        self._in_doubt = True
        return TransactionInDoubt(f"it is not known how the transaction of {self._id} ended ({reason.rstrip('.')})")


class MemberMetadata:
    """The identity of a consumer of this client."""

    __slots__ = ("client", "group")

    def __init__(self, client: Any, group: str) -> None:
        self.client = client
        self.group = group
