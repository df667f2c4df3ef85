from __future__ import annotations

import pytest
from kafka import errors as client

from common.errors import TidegateError
from eventing.kafka import errors as port
from eventing.kafka.kafka_python.errors import translate, translate_errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client.MessageSizeTooLargeError(), port.RecordTooLarge),
        (client.UnsupportedCodecError("lz4"), port.RecordUnreadable),
        (client.CommitFailedError(), port.CommitRefused),
        (client.RebalanceInProgressError(), port.CommitRefused),
        (client.FencedInstanceIdError(), port.Fenced),
        (client.ProducerFencedError(), port.Fenced),
        (client.TopicAuthorizationFailedError(), port.NotAuthorized),
        (client.GroupAuthorizationFailedError(), port.NotAuthorized),
        (client.KafkaTimeoutError("no metadata"), port.RequestTimedOut),
        (client.KafkaConnectionError(), port.BrokerUnreachable),
        (client.NotEnoughReplicasError(), port.KafkaError),
    ],
)
def test_client_error_becomes_a_port_error(error: Exception, kind: type[port.KafkaError]) -> None:
    translated = translate(error)
    assert type(translated) is kind
    assert isinstance(translated, TidegateError)
    assert str(error) in str(translated)


def test_other_errors_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), translate_errors():
        raise ZeroDivisionError
    with pytest.raises(port.CommitRefused) as caught, translate_errors():
        raise client.CommitFailedError("a rebalance is under way")
    assert isinstance(caught.value.__cause__, client.CommitFailedError)
