"""Translation of kafka-python's errors into the port's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as client

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

_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[KafkaError]], ...] = (
    ((client.MessageSizeTooLargeError, client.RecordListTooLargeError), RecordTooLarge),
    ((client.CorruptRecordError, client.UnsupportedCodecError, client.UnsupportedCompressionTypeError), RecordUnreadable),
    (
        (client.FencedInstanceIdError, client.ProducerFencedError, client.InvalidProducerEpochError, client.FencedMemberEpochError),
        Fenced,
    ),
    (
        (client.CommitFailedError, client.RebalanceInProgressError, client.IllegalGenerationError, client.UnknownMemberIdError),
        CommitRefused,
    ),
    ((client.InconsistentGroupProtocolError,), InconsistentGroup),
    ((client.AuthorizationError,), NotAuthorized),
    ((client.KafkaTimeoutError,), RequestTimedOut),
    ((client.KafkaConnectionError,), BrokerUnreachable),
)


def translate(error: BaseException) -> KafkaError:
    """Return the port's error for one of the client's, with the client's own words."""
    kind = next((port for kinds, port in _TRANSLATIONS if isinstance(error, kinds)), KafkaError)
    return kind(str(error) or type(error).__name__)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the port's errors instead of the client's."""
    try:
        yield
    except client.KafkaError as error:
        raise translate(error) from error
