from __future__ import annotations

import pytest

from eventing.kafka import access
from eventing.kafka.port import Broker
from eventing.kafka.security import Security


def test_password_without_encryption_is_warned_of_once_except_on_loopback(caplog: pytest.LogCaptureFixture) -> None:
    security = Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="alice", password="correct-horse-battery")  # noqa: S106 a test's
    for servers in ("localhost:9092,127.0.0.2:9092,[::1]:9092", "localhost:9092,kafka:9092", "localhost:9092,kafka:9092"):
        access.warn_if_readable(Broker(servers, security=security))
    assert len(caplog.messages) == 1
    assert "the connection to Kafka at localhost:9092,kafka:9092 is not encrypted and exposes the password" in caplog.text
    assert "set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SASL_SSL" in caplog.text
    assert "horse" not in caplog.text
