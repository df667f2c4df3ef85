"""Translation of confluent-kafka's errors into the port's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException

from eventing.kafka.errors import (
    BrokerUnreachable,
    CommitRefused,
    Fenced,
    InconsistentGroup,
    KafkaError,
    NotAuthorized,
    RecordTooLarge,
    RecordUnreadable,
    RequestTimedOut,
)

_TRANSLATIONS: dict[int, type[KafkaError]] = {
    Code.MSG_SIZE_TOO_LARGE: RecordTooLarge,
    Code.INVALID_MSG: RecordUnreadable,
    Code._BAD_MSG: RecordUnreadable,  # noqa: SLF001 the library names its own codes so
    Code._BAD_COMPRESSION: RecordUnreadable,  # noqa: SLF001
    Code.UNSUPPORTED_COMPRESSION_TYPE: RecordUnreadable,
    Code.FENCED_INSTANCE_ID: Fenced,
    Code.PRODUCER_FENCED: Fenced,
    Code.INVALID_PRODUCER_EPOCH: Fenced,
    Code._FENCED: Fenced,  # noqa: SLF001
    Code.INCONSISTENT_GROUP_PROTOCOL: InconsistentGroup,
    Code.REBALANCE_IN_PROGRESS: CommitRefused,
    Code.ILLEGAL_GENERATION: CommitRefused,
    Code.UNKNOWN_MEMBER_ID: CommitRefused,
    Code.TOPIC_AUTHORIZATION_FAILED: NotAuthorized,
    Code.GROUP_AUTHORIZATION_FAILED: NotAuthorized,
    Code.CLUSTER_AUTHORIZATION_FAILED: NotAuthorized,
    Code._TIMED_OUT: RequestTimedOut,  # noqa: SLF001
    Code._MSG_TIMED_OUT: RequestTimedOut,  # noqa: SLF001
    Code._TIMED_OUT_QUEUE: RequestTimedOut,  # noqa: SLF001
    Code._WAIT_COORD: RequestTimedOut,  # noqa: SLF001
    Code._UNKNOWN_TOPIC: RequestTimedOut,  # noqa: SLF001
    Code.REQUEST_TIMED_OUT: RequestTimedOut,
    Code._TRANSPORT: BrokerUnreachable,  # noqa: SLF001
    Code._RESOLVE: BrokerUnreachable,  # noqa: SLF001
    Code._ALL_BROKERS_DOWN: BrokerUnreachable,  # noqa: SLF001
}


def translate(error: Any) -> KafkaError:
    """Return the port's error for one of the client's, an exception or a code, with the client's own words."""
    found = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if not isinstance(found, Code):
        return KafkaError(str(error) or type(error).__name__)
    return _TRANSLATIONS.get(found.code(), KafkaError)(found.str() or found.name())


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the port's errors instead of the client's.

    A client that was closed raises RuntimeError.
    """
    try:
        yield
    except (KafkaException, RuntimeError) as error:
        raise translate(error) from error
