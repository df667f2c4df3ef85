from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import pytest

from common.errors import BrokerUnreachable
from eventing.kafka import kafka_python
from eventing.kafka.kafka_python import Broker
from eventing.kafka.security import Security


@pytest.mark.parametrize("client", [kafka_python.consumer, kafka_python.producer])
@pytest.mark.parametrize("servers", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "nowhere.invalid:9092", "127.0.0.1:port", ""])
def test_a_broker_that_is_not_there_is_one_sentence(client: Callable[[Broker], object], servers: str) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at .*TIDEGATE_BOOTSTRAP_SERVERS") as caught:
        client(Broker(servers, (2, 3)))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # kafka-python drops the socket of an address that refuses
def test_one_address_of_several_is_enough(broker: Broker) -> None:
    producer = kafka_python.producer(Broker(f"127.0.0.1:1,{broker.bootstrap_servers}", broker.api_version))
    assert producer.partitions_for("anything")
    producer.close(5)
    gc.collect()


def test_that_nothing_is_encrypted_is_told_once_and_not_of_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    security = Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="alice", password="correct-horse-battery")  # noqa: S106 nobody's
    for servers in ("localhost:9092,127.0.0.2:9092,[::1]:9092", "localhost:9092,kafka:9092", "localhost:9092,kafka:9092"):
        kafka_python._warn(Broker(servers, security=security))
    assert len(caplog.messages) == 1
    assert "nothing is encrypted on the way to Kafka at localhost:9092,kafka:9092" in caplog.text
    assert "set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SASL_SSL" in caplog.text
    assert "horse" not in caplog.text


def test_something_else_on_the_port_is_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_python, "_BOOTSTRAP_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BrokerUnreachable):
        kafka_python.consumer(Broker(f"127.0.0.1:{server.getsockname()[1]}"))
