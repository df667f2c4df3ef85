"""The port's producer with transactions by kafka-python, and the corrections of that library's transactions.

Each correction is for release 3.0.12 and backed by a test of the uncorrected client. They replace private parts of the
client: without those parts there are no transactions, since each of these faults loses or doubles records.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Any

from kafka import errors as client_errors
from kafka.producer.transaction_manager import EndTxnHandler, TransactionManager, TransactionState, TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from eventing.codecs.kafka import Message
from eventing.kafka.errors import Fenced, KafkaError, MemberFenced, RequestTimedOut, TransactionAbortable, TransactionInDoubt
from eventing.kafka.kafka_python.errors import translate, translate_errors
from eventing.kafka.kafka_python.producer import ProducerAdapter
from eventing.kafka.port import Delivery, GroupMetadata, Offsets, TransactionOptions

# The private parts that the corrections use.
_MANAGER_PARTS = (
    "_begin_completing_transaction",
    "_current_state",
    "_enqueue_request",
    "_lock",
    "_pending_txn_offset_commits",
    "_supports_epoch_bump",
    "classify_batch_error",
    "clear_in_flight_transactional_request_correlation_id",
)
_SPLIT_SECONDS = 0.01
_CLIENT_PARTS = ("_sender", "_transaction_manager")
_STALE = (client_errors.CommitFailedError, client_errors.FencedInstanceIdError)


class Transactions(TransactionManager):  # type: ignore[misc]
    """A transaction manager that never goes on where a request of the transaction before may still arrive."""

    def begin_transaction(self) -> None:
        """Forget the offsets of an aborted transaction: the client would commit them with the next one."""
        with self._lock:
            self._pending_txn_offset_commits.clear()
            super().begin_transaction()

    def classify_batch_error(self, error: Any, batch: Any, log_start_offset: int = -1) -> str:
        """Fail for good where a record was given up: the client would commit the transaction without it."""
        found = super().classify_batch_error(error, batch, log_start_offset)
        return str(self.ERROR_CLASS_FATAL if found == self.ERROR_CLASS_RETRIABLE else found)

    def _supports_epoch_bump(self) -> bool:
        """Never begin another epoch in the middle: it aborts the transaction, and a commit would report success."""
        return False

    def _enqueue_request(self, request_handler: Any) -> None:
        if isinstance(request_handler, EndTxnHandler | TxnOffsetCommitHandler):
            request_handler.on_complete = partial(_complete_once, request_handler)
        super()._enqueue_request(request_handler)


def _complete_once(handler: Any, correlation_id: int, response: Any) -> None:
    """Fail for good where the connection was lost before the response, and the client would send the request again.

    The broker may have the first one still to process. Such requests do not say which transaction of the producer they
    mean, so it could end the next one half-way, or commit these offsets with it.
    """
    if isinstance(response, client_errors.KafkaConnectionError):
        handler.transaction_manager.clear_in_flight_transactional_request_correlation_id()
        handler.fatal_error(response)
    else:
        type(handler).on_complete(handler, correlation_id, response)


def is_correctable(client: Any) -> bool:
    """Return whether the corrections fit this release of the client."""
    manager = getattr(client, "_transaction_manager", None)
    return (
        type(manager) is TransactionManager
        and all(hasattr(client, name) for name in _CLIENT_PARTS)
        and all(hasattr(manager, name) for name in _MANAGER_PARTS)
    )


def correct(client: Any) -> None:
    """Replace the transaction manager of a producer that has not begun a transaction yet by the corrected one."""
    client._transaction_manager.__class__ = Transactions  # noqa: SLF001 it has the same state, to which the client's parts refer


class TransactionalProducerAdapter(ProducerAdapter):
    """A producer whose client has the corrections.

    Results are waited for with a time-out, where the client's own methods have none.
    """

    def __init__(self, client: Any, options: TransactionOptions) -> None:
        super().__init__(client)
        self._manager = client._transaction_manager  # noqa: SLF001
        self._sender = client._sender  # noqa: SLF001
        self._id = options.transactional_id
        self._in_doubt = False
        self._is_used_up = False

    def begin(self) -> None:
        if self._is_used_up:
            raise self._doubt("a record was refused before")
        try:
            self._manager.begin_transaction()
        except client_errors.KafkaError as error:
            raise self._failure(error) from error

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        try:
            return super().send(topic, message, partition)
        except KafkaError as error:
            if self._manager.has_error():
                raise self._failure(error) from error
            raise

    def send_offsets(self, offsets: Offsets, member: GroupMetadata, timeout_seconds: float) -> None:
        if not isinstance(member, MemberMetadata):
            raise TypeError("the group metadata is of another client.")
        given = {ClientPartition(*partition): OffsetAndMetadata(found.offset, found.metadata, -1) for partition, found in offsets.items()}
        self._call(lambda: self._manager.send_offsets_to_transaction(given, member.client), timeout_seconds)

    def flush(self, timeout_seconds: float) -> None:
        until = time.monotonic() + timeout_seconds
        while True:
            try:
                self._client.flush(timeout=max(0.0, until - time.monotonic()))
            except client_errors.UnknownError:
                if not self._manager.has_error():
                    time.sleep(_SPLIT_SECONDS)  # a batch was split, and the client waits for the whole one only
                    continue
            except client_errors.KafkaError as error:
                raise self._failure(error) from error
            break
        if self._manager.has_error():
            raise self._failure(None)

    def commit(self, timeout_seconds: float) -> None:
        self._call(self._manager.begin_commit, timeout_seconds)

    def abort(self, timeout_seconds: float) -> None:
        if not self._in_doubt and self._manager._current_state == TransactionState.READY:  # noqa: SLF001
            return
        self._call(self._manager.begin_abort, timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        if not self._in_doubt and not self._manager.has_fatal_error():
            with suppress(KafkaError):
                self.abort(timeout_seconds)
        try:
            with translate_errors():
                # What is left has no time: it is not to be written.
                self._client.close(0 if self._in_doubt else timeout_seconds)
        except KafkaError:
            self._sender.force_close()  # the client does not end its thread where its flush fails

    def _call(self, request: Any, timeout_seconds: float) -> None:
        """Make a request of the transaction and wait for its result."""
        if self._in_doubt:
            raise self._doubt("an earlier request was not answered")
        try:
            result = request()
            self._sender.wakeup()
            if not result.wait(timeout_seconds * 1000):
                self._in_doubt = True
        except client_errors.KafkaError as error:
            raise self._failure(error) from error
        if self._in_doubt:
            raise self._doubt(f"Kafka did not answer within {timeout_seconds:g} s")

    def _failure(self, error: BaseException | None) -> KafkaError:
        """Return the port's error for the state that the client is in, by the first cause."""
        cause = self._manager.last_error or error or client_errors.UnknownError()
        found = translate(cause)
        if isinstance(cause, _STALE):
            return MemberFenced(found.message)
        if isinstance(found, Fenced):
            self._in_doubt = True
            return Fenced(f"a newer producer with the transactional id {self._id} has taken over, or the transaction timed out")
        if self._manager.has_abortable_error() or isinstance(found, RequestTimedOut):
            self._is_used_up = True
            return TransactionAbortable(found)
        return self._doubt(found.message)

    def _doubt(self, reason: str) -> TransactionInDoubt:
        self._in_doubt = True
        return TransactionInDoubt(f"it is not known how the transaction of {self._id} ended ({reason.rstrip('.')})")


class MemberMetadata:
    """The identity of a consumer of this client."""

    __slots__ = ("client",)

    def __init__(self, client: ConsumerGroupMetadata) -> None:
        self.client = client

    @property
    def group(self) -> str:
        return str(self.client.group_id)
