"""How Kafka is entered: by TLS, and as whom (SASL). Files are read and checked here; nothing is connected to."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from common.environ import Environ, one_of
from common.errors import InvalidSetting

PROTOCOL = "TIDEGATE_KAFKA_SECURITY_PROTOCOL"
MECHANISM = "TIDEGATE_KAFKA_SASL_MECHANISM"
USERNAME = "TIDEGATE_KAFKA_USERNAME"
PASSWORD = "TIDEGATE_KAFKA_PASSWORD"  # noqa: S105 the name of a variable
PASSWORD_FILE = "TIDEGATE_KAFKA_PASSWORD_FILE"  # noqa: S105 likewise
TOKEN_FILE = "TIDEGATE_KAFKA_TOKEN_FILE"  # noqa: S105 likewise
CA_FILE = "TIDEGATE_KAFKA_CA_FILE"
CERTIFICATE_FILE = "TIDEGATE_KAFKA_CERTIFICATE_FILE"
KEY_FILE = "TIDEGATE_KAFKA_KEY_FILE"

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_BY_TOKEN = "OAUTHBEARER"  # noqa: S105 the name of a mechanism
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", _BY_TOKEN)
_OF_SASL = (MECHANISM, USERNAME, PASSWORD, PASSWORD_FILE, TOKEN_FILE)
_OF_TLS = (CA_FILE, CERTIFICATE_FILE, KEY_FILE)
_OF_SECRETS = (PASSWORD_FILE, TOKEN_FILE)
_OF_PASSWORDS = (USERNAME, PASSWORD, PASSWORD_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a client must know to be let in."""

    protocol: str = PROTOCOLS[0]
    """TIDEGATE_KAFKA_SECURITY_PROTOCOL, one of PROTOCOLS."""

    mechanism: str | None = None
    """TIDEGATE_KAFKA_SASL_MECHANISM, one of MECHANISMS: how a SASL protocol is spoken."""

    username: str | None = None
    """TIDEGATE_KAFKA_USERNAME, for every mechanism but OAUTHBEARER."""

    password: str | None = field(default=None, repr=False)
    """TIDEGATE_KAFKA_PASSWORD, or what stood in the password file at the start."""

    password_file: str | None = None
    """TIDEGATE_KAFKA_PASSWORD_FILE: where a Secret is mounted. A line end behind the password is no part of it."""

    token_file: str | None = None
    """TIDEGATE_KAFKA_TOKEN_FILE: the token of OAUTHBEARER, such as a projected service account token. It is read at each connection, since
    tokens are renewed."""

    ca_file: str | None = None
    """TIDEGATE_KAFKA_CA_FILE, PEM: who may have signed the broker's certificate; the system's authorities unless named."""

    certificate_file: str | None = None
    """TIDEGATE_KAFKA_CERTIFICATE_FILE, PEM: the client's own certificate, for brokers that ask for one."""

    key_file: str | None = None
    """TIDEGATE_KAFKA_KEY_FILE, PEM, not encrypted: the key of the client's certificate, unless it stands in the same file."""

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        return self.protocol.startswith("SASL")

    @classmethod
    def from_env(cls, environ: Environ) -> Security:
        """Raises InvalidSetting, naming the variable, and never what is secret."""
        security = cls(
            protocol=one_of(environ, PROTOCOL, PROTOCOLS[0], PROTOCOLS),
            mechanism=one_of(environ, MECHANISM, MECHANISMS[0], MECHANISMS) if environ.get(MECHANISM) else None,
            username=environ.get(USERNAME) or None,
            password=_password(environ),
            password_file=_file(environ, PASSWORD_FILE),
            token_file=_file(environ, TOKEN_FILE),
            ca_file=_file(environ, CA_FILE),
            certificate_file=_file(environ, CERTIFICATE_FILE),
            key_file=_file(environ, KEY_FILE),
        )
        if not security.authenticated:
            _refuse(environ, _OF_SASL, f"{PROTOCOL} is {security.protocol}, which signs nobody in; set it to SASL_SSL")
        else:
            _check_mechanism(environ, security)
        if not security.encrypted:
            _refuse(environ, _OF_TLS, f"{PROTOCOL} is {security.protocol}, which encrypts nothing; set it to SSL or SASL_SSL")
        else:
            security.context()
        return security

    def environment(self) -> dict[str, str]:
        """The variables that make this again in another process; an empty one takes the place of whatever else would be found there."""
        values = {
            PROTOCOL: self.protocol,
            MECHANISM: self.mechanism,
            USERNAME: self.username,
            PASSWORD: None if self.password_file else self.password,
            PASSWORD_FILE: self.password_file,
            TOKEN_FILE: self.token_file,
            CA_FILE: self.ca_file,
            CERTIFICATE_FILE: self.certificate_file,
            KEY_FILE: self.key_file,
        }
        return {name: value or "" for name, value in values.items()}

    def options(self) -> dict[str, Any]:
        """The keyword arguments of kafka-python's clients. They get files, not contents, so that renewed certificates need no restart."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.encrypted:
            options |= {"ssl_cafile": self.ca_file, "ssl_certfile": self.certificate_file, "ssl_keyfile": self.key_file}
        if self.authenticated:
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username, "sasl_plain_password": self.password}
        if self.token_file:
            options["sasl_oauth_token_provider"] = _TokenFile(Path(self.token_file))
        return options

    def context(self) -> ssl.SSLContext:
        """TLS exactly as kafka-python speaks it with these options; the host's name is always checked. Raises InvalidSetting."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is None:
            context.load_default_certs()
        else:
            _load_authorities(context, self.ca_file)
        if self.certificate_file is not None:
            _load_certificate(context, self.certificate_file, self.key_file)
        elif self.key_file is not None:
            raise InvalidSetting(f"{KEY_FILE} is set and {CERTIFICATE_FILE} is not; name the certificate that the key belongs to.")
        return context


OPEN = Security()
"""Of a broker that lets everybody in, such as the embedded one."""


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def token(self) -> str:
        """Raises InvalidSetting: a file may have been changed since the start."""
        try:
            token = self._path.read_text("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        if not token:
            raise InvalidSetting(f"{TOKEN_FILE} is {str(self._path)!r}, which has no token in ASCII; write the token alone into it.")
        return token


def _check_mechanism(environ: Environ, security: Security) -> None:
    needed = f"{PROTOCOL} is {security.protocol}"
    if security.mechanism is None:
        raise InvalidSetting(f"{MECHANISM} is not set, but {needed}; set it to one of {', '.join(MECHANISMS)}.")
    needed = f"{MECHANISM} is {security.mechanism}"
    if security.mechanism == _BY_TOKEN:
        _refuse(environ, _OF_PASSWORDS, f"{needed}, which goes by a token; choose another mechanism")
        if security.token_file is None:
            raise InvalidSetting(f"{TOKEN_FILE} is not set, but {needed}; name the file that the token is in.")
        return
    _refuse(environ, (TOKEN_FILE,), f"{needed}, which goes by a password; choose {_BY_TOKEN}")
    if security.username is None:
        raise InvalidSetting(f"{USERNAME} is not set, but {needed}; set it.")
    if security.password is None:
        raise InvalidSetting(f"neither {PASSWORD} nor {PASSWORD_FILE} is set, but {needed}; set one of them.")


def _refuse(environ: Environ, names: tuple[str, ...], reason: str) -> None:
    """What is set and would not be used is a mistake: somebody believes that it protects them."""
    for name in names:
        if environ.get(name):
            raise InvalidSetting(f"{name} is set, but {reason}, or leave {name} out.")


def _file(environ: Environ, name: str) -> str | None:
    """The absolute path of a file that can be read: processes that are given it may start in another folder."""
    value = environ.get(name)
    if not value:
        return None
    try:
        with Path(value).open("rb"):
            return str(Path(value).absolute())
    except OSError as error:
        if name in _OF_SECRETS and not os.path.isdir(os.path.dirname(value) or "?"):  # noqa: PTH112, PTH120 a long one is no error
            # Perhaps the secret itself, where its file should be named: it is not repeated.
            raise InvalidSetting(f"{name} names no file that can be read ({error.strerror}); name the file, not the secret.") from None
        raise InvalidSetting(f"{name} is {value!r}, which cannot be read ({error.strerror}); name a file that is there.") from None


def _password(environ: Environ) -> str | None:
    path = _file(environ, PASSWORD_FILE)
    if path is None:
        return environ.get(PASSWORD) or None
    if environ.get(PASSWORD):
        raise InvalidSetting(f"{PASSWORD} and {PASSWORD_FILE} are both set; leave one of them out.")
    try:
        password = Path(path).read_text("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise InvalidSetting(f"{PASSWORD_FILE} is {path!r}, which is no UTF-8 text; write the password alone into it.") from None
    if not password:
        raise InvalidSetting(f"{PASSWORD_FILE} is {path!r}, which is empty; write the password into it.")
    return password


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError:
        raise InvalidSetting(f"{CA_FILE} is {path!r}, which has no certificate in PEM format; name a file that has one.") from None


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        # Without a password OpenSSL would ask at the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = (getattr(error, "reason", None) or "").lower().replace("_", " ") or "no PEM"
        raise InvalidSetting(
            f"{CERTIFICATE_FILE} is {certificate!r}, which cannot be used with its key ({reason}); name a certificate in PEM format, "
            f"and its key, not encrypted, there or by {KEY_FILE}."
        ) from None
