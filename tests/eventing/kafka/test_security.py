"""The security settings from their variables, and invalid combinations. Nothing is connected to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from common.errors import InvalidSetting
from eventing.kafka.port import Broker
from eventing.kafka.security import PLAINTEXT, Security

SECRET = "correct-horse-battery"  # noqa: S105 a test's
SASL = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "SCRAM-SHA-512", "USERNAME": "alice", "PASSWORD": SECRET}
BY_TOKEN = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "OAUTHBEARER", "TOKEN_FILE": "token"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, keys, passwords, and files that are none of these."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH: install OpenSSL.")
    found = tmp_path_factory.mktemp("security")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=test"]
    for name, protection in (("client", ["-nodes"]), ("other", ["-nodes"]), ("locked", ["-passout", "pass:1234"])):
        subprocess.run([*new, *protection, "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=found, check=True, capture_output=True)
    (found / "both.pem").write_text((found / "client.pem").read_text() + (found / "client.key").read_text())
    for name, content in {"password": f"{SECRET}\n", "token": "a.b.\n", "empty": "\n", "text": "no certificate"}.items():
        (found / name).write_text(content)
    (found / "binary").write_bytes(b"\xff\xfe")
    return found


@pytest.fixture(autouse=True)
def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the working directory."""
    monkeypatch.chdir(folder)
    return folder


def security(given: dict[str, str]) -> Security:
    return Security.from_env({f"TIDEGATE_KAFKA_{name}": value for name, value in given.items()})


def test_default_is_plaintext() -> None:
    assert security({}) == security({"SECURITY_PROTOCOL": "", "USERNAME": ""}) == PLAINTEXT


def test_password_is_read_from_its_file(files: Path) -> None:
    found = security(SASL | {"PASSWORD": "", "PASSWORD_FILE": "password"})
    assert (found.password, found.password_file) == (SECRET, str(files / "password"))


def test_token_is_read_at_each_call() -> None:
    Path("renewed").write_text("a.b.\n")
    found = security(BY_TOKEN | {"TOKEN_FILE": "renewed"})
    assert found.read_token() == "a.b."
    Path("renewed").write_text("c.d.\n")
    assert found.read_token() == "c.d."


def test_files_become_absolute_paths(files: Path) -> None:
    found = security({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "other.pem", "CERTIFICATE_FILE": "client.pem", "KEY_FILE": "client.key"})
    assert (found.ca_file, found.certificate_file, found.key_file) == tuple(
        str(files / name) for name in ("other.pem", "client.pem", "client.key")
    )


def test_key_can_be_in_the_certificate_file() -> None:
    assert security({"SECURITY_PROTOCOL": "SSL", "CERTIFICATE_FILE": "both.pem"}).context().check_hostname


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"SECURITY_PROTOCOL": "SSL", "CA_FILE": "other.pem", "CERTIFICATE_FILE": "both.pem"},
        SASL,
        SASL | {"PASSWORD": "", "PASSWORD_FILE": "password"},
        BY_TOKEN,
    ],
)
def test_environment_makes_an_equal_security(given: dict[str, str]) -> None:
    found = security(given)
    environ = found.environment()
    assert Security.from_env(environ) == found
    assert set(environ) == set(PLAINTEXT.environment())
    assert (SECRET in environ.values()) == (given.get("PASSWORD") == SECRET)


@pytest.mark.parametrize("given", [SASL, SASL | {"PASSWORD": "", "PASSWORD_FILE": "password"}])
def test_password_is_not_in_the_repr(given: dict[str, str]) -> None:
    broker = Broker("kafka:9092", security=security(given))
    assert "alice" in repr(broker)
    assert SECRET not in repr(broker) + str(broker)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL is 'TLS'; set one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL."),
        (SASL | {"SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM is 'GSSAPI'; set one of PLAIN, SCRAM-SHA-256"),
        (SASL | {"SASL_MECHANISM": ""}, "SASL_MECHANISM is not set, but TIDEGATE_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT"),
        (SASL | {"USERNAME": ""}, "USERNAME is not set, but TIDEGATE_KAFKA_SASL_MECHANISM is SCRAM-SHA-512"),
        (SASL | {"PASSWORD": ""}, "neither TIDEGATE_KAFKA_PASSWORD nor TIDEGATE_KAFKA_PASSWORD_FILE is set"),
        (SASL | {"PASSWORD_FILE": "password"}, "PASSWORD and TIDEGATE_KAFKA_PASSWORD_FILE are both set"),
        (
            SASL | {"PASSWORD": "", "PASSWORD_FILE": "gone"},
            "PASSWORD_FILE is not a readable file (No such file or directory)",
        ),
        (SASL | {"PASSWORD": "", "PASSWORD_FILE": "empty"}, "which is empty; write the password into it."),
        (SASL | {"PASSWORD": "", "PASSWORD_FILE": "binary"}, "which is not UTF-8; write"),
        (SASL | {"TOKEN_FILE": "token"}, "TOKEN_FILE is set, but TIDEGATE_KAFKA_SASL_MECHANISM is SCRAM-SHA-512, which uses a password"),
        (BY_TOKEN | {"TOKEN_FILE": ""}, "TOKEN_FILE is not set, but TIDEGATE_KAFKA_SASL_MECHANISM is OAUTHBEARER"),
        (BY_TOKEN | {"USERNAME": "alice"}, "USERNAME is set, but TIDEGATE_KAFKA_SASL_MECHANISM is OAUTHBEARER, which uses a token"),
        (
            SASL | {"SECURITY_PROTOCOL": ""},
            "SASL_MECHANISM is set, but TIDEGATE_KAFKA_SECURITY_PROTOCOL is PLAINTEXT, which does not authenticate",
        ),
        ({"PASSWORD": SECRET}, "PASSWORD is set, but TIDEGATE_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        (
            SASL | {"CA_FILE": "client.pem"},
            "CA_FILE is set, but TIDEGATE_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT, which does not encrypt",
        ),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "gone.pem"}, "CA_FILE is 'gone.pem', which cannot be read"),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "text"}, "which has no PEM certificate"),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "client.key"}, "which has no PEM certificate"),
        ({"SECURITY_PROTOCOL": "SSL", "KEY_FILE": "client.key"}, "KEY_FILE is set and TIDEGATE_KAFKA_CERTIFICATE_FILE is not"),
        ({"SECURITY_PROTOCOL": "SSL", "CERTIFICATE_FILE": "text"}, "which cannot be used with its key (not PEM)"),
        ({"SECURITY_PROTOCOL": "SSL", "CERTIFICATE_FILE": "client.pem"}, "in the same file or in TIDEGATE_KAFKA_KEY_FILE."),
        (
            {"SECURITY_PROTOCOL": "SSL", "CERTIFICATE_FILE": "client.pem", "KEY_FILE": "other.key"},
            "which cannot be used with its key (key values mismatch)",
        ),
        ({"SECURITY_PROTOCOL": "SSL", "CERTIFICATE_FILE": "locked.pem", "KEY_FILE": "locked.key"}, "with its unencrypted key"),
    ],
)
def test_invalid_combination_is_one_sentence(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        security(given)
    message = str(caught.value)
    assert sentence in message
    assert "TIDEGATE_KAFKA_" in message
    assert message.endswith(".")
    assert SECRET not in message
