from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidSetting
from eventing.kafka.kafka_python.options import security_options
from eventing.kafka.security import PLAINTEXT, Security


def test_plaintext_has_no_further_options() -> None:
    assert security_options(PLAINTEXT) == {"security_protocol": "PLAINTEXT"}


def test_tls_options_name_files() -> None:
    security = Security(protocol="SSL", ca_file="/ca.pem", certificate_file="/client.pem", key_file="/client.key")
    assert security_options(security) == {
        "security_protocol": "SSL",
        "ssl_cafile": "/ca.pem",
        "ssl_certfile": "/client.pem",
        "ssl_keyfile": "/client.key",
    }


def test_sasl_options_have_the_password() -> None:
    security = Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="alice", password="horse")  # noqa: S106 a test's
    assert security_options(security) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "horse",
    }


def test_token_is_read_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a.b.\n")
    security = Security(protocol="SASL_PLAINTEXT", mechanism="OAUTHBEARER", token_file=str(file))
    provider = security_options(security)["sasl_oauth_token_provider"]
    assert provider.token() == "a.b."
    file.write_text("c.d.\n")
    assert provider.token() == "c.d."
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidSetting, match="has no ASCII token"):
        provider.token()
