from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from common.errors import TidegateError
from eventing.kafka import errors as port
from eventing.kafka.confluent.errors import translate, translate_errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, port.RecordTooLarge),
        (KafkaError._BAD_COMPRESSION, port.RecordUnreadable),
        (KafkaError.REBALANCE_IN_PROGRESS, port.CommitRefused),
        (KafkaError.ILLEGAL_GENERATION, port.CommitRefused),
        (KafkaError.UNKNOWN_MEMBER_ID, port.CommitRefused),
        (KafkaError.FENCED_INSTANCE_ID, port.Fenced),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, port.NotAuthorized),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, port.NotAuthorized),
        (KafkaError._TIMED_OUT, port.RequestTimedOut),
        (KafkaError._TRANSPORT, port.BrokerUnreachable),
        (KafkaError.NOT_ENOUGH_REPLICAS, port.KafkaError),
    ],
)
def test_client_error_becomes_a_port_error(code: int, kind: type[port.KafkaError]) -> None:
    error = KafkaError(code, "these words")
    for given in (error, KafkaException(error)):
        translated = translate(given)
        assert type(translated) is kind
        assert isinstance(translated, TidegateError)
        assert "these words" in str(translated)


def test_closed_client_is_a_port_error_and_others_are_not() -> None:
    with pytest.raises(port.KafkaError, match="Consumer closed"), translate_errors():
        raise RuntimeError("Consumer closed")
    with pytest.raises(ZeroDivisionError), translate_errors():
        raise ZeroDivisionError
