from __future__ import annotations

from pathlib import Path

from eventing.kafka.confluent.options import security_options
from eventing.kafka.security import PLAINTEXT, Security


def test_plaintext_has_no_further_options() -> None:
    assert security_options(PLAINTEXT) == {"security.protocol": "plaintext"}


def test_key_is_in_the_file_of_the_certificate_unless_it_is_named() -> None:
    security = Security(protocol="SSL", ca_file="/ca.pem", certificate_file="/client.pem")
    assert security_options(security) == {
        "security.protocol": "ssl",
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/client.pem",
        "ssl.key.location": "/client.pem",
    }


def test_sasl_options_have_the_password() -> None:
    security = Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="alice", password="horse")  # noqa: S106 a test's
    assert security_options(security) == {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "alice",
        "sasl.password": "horse",
    }


def test_token_is_read_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a.b.\n")
    security = Security(protocol="SASL_PLAINTEXT", mechanism="OAUTHBEARER", token_file=str(file))
    token = security_options(security)["oauth_cb"]
    assert token("")[0] == "a.b."
    file.write_text("c.d.\n")
    assert token("")[0] == "c.d."
