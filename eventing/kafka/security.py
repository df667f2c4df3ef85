"""The security settings of Kafka's clients: TLS and SASL. Files are read and checked here; nothing is connected to."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from common.environ import Environ, one_of
from common.errors import InvalidSetting

PROTOCOL = "TIDEGATE_KAFKA_SECURITY_PROTOCOL"
MECHANISM = "TIDEGATE_KAFKA_SASL_MECHANISM"
USERNAME = "TIDEGATE_KAFKA_USERNAME"
PASSWORD = "TIDEGATE_KAFKA_PASSWORD"  # noqa: S105 the name of a variable
PASSWORD_FILE = "TIDEGATE_KAFKA_PASSWORD_FILE"  # noqa: S105 the name of a variable
TOKEN_FILE = "TIDEGATE_KAFKA_TOKEN_FILE"  # noqa: S105 the name of a variable
CA_FILE = "TIDEGATE_KAFKA_CA_FILE"
CERTIFICATE_FILE = "TIDEGATE_KAFKA_CERTIFICATE_FILE"
KEY_FILE = "TIDEGATE_KAFKA_KEY_FILE"

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER)
_SASL_SETTINGS = (MECHANISM, USERNAME, PASSWORD, PASSWORD_FILE, TOKEN_FILE)
_TLS_SETTINGS = (CA_FILE, CERTIFICATE_FILE, KEY_FILE)
_SECRET_FILES = (PASSWORD_FILE, TOKEN_FILE)
_PASSWORD_SETTINGS = (USERNAME, PASSWORD, PASSWORD_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The security settings of one cluster's clients."""

    protocol: str = PROTOCOLS[0]
    """TIDEGATE_KAFKA_SECURITY_PROTOCOL, one of PROTOCOLS."""

    mechanism: str | None = None
    """TIDEGATE_KAFKA_SASL_MECHANISM, one of MECHANISMS."""

    username: str | None = None
    """TIDEGATE_KAFKA_USERNAME, for every mechanism but OAUTHBEARER."""

    password: str | None = field(default=None, repr=False)
    """TIDEGATE_KAFKA_PASSWORD, or the content of the password file at the start."""

    password_file: str | None = None
    """TIDEGATE_KAFKA_PASSWORD_FILE, such as a mounted Secret. A line end behind the password is not part of it."""

    token_file: str | None = None
    """TIDEGATE_KAFKA_TOKEN_FILE: the token of OAUTHBEARER, such as a projected service account token. It is read at
    each connection, since tokens are renewed."""

    ca_file: str | None = None
    """TIDEGATE_KAFKA_CA_FILE, PEM: the authorities for the broker's certificate; the system's unless set."""

    certificate_file: str | None = None
    """TIDEGATE_KAFKA_CERTIFICATE_FILE, PEM: the client's own certificate, for brokers that require one."""

    key_file: str | None = None
    """TIDEGATE_KAFKA_KEY_FILE, PEM, not encrypted: the key of the client's certificate, unless it is in the same file.
    """

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        return self.protocol.startswith("SASL")

    @classmethod
    def from_env(cls, environ: Environ) -> Security:
        """Read the settings. Raises InvalidSetting, which names the variable and never a secret."""
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
            _forbid(
                environ, _SASL_SETTINGS, f"{PROTOCOL} is {security.protocol}, which does not authenticate", f"set {PROTOCOL} to SASL_SSL"
            )
        else:
            _check_mechanism(environ, security)
        if not security.encrypted:
            problem = f"{PROTOCOL} is {security.protocol}, which does not encrypt"
            _forbid(environ, _TLS_SETTINGS, problem, f"set {PROTOCOL} to SSL or SASL_SSL")
        else:
            security.context()
        return security

    def environment(self) -> dict[str, str]:
        """Return all variables for another process; an empty one overrides an inherited value."""
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

    def context(self) -> ssl.SSLContext:
        """Return a TLS context of these files; the host name is always checked. Raises InvalidSetting."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is None:
            context.load_default_certs()
        else:
            _load_authorities(context, self.ca_file)
        if self.certificate_file is not None:
            _load_certificate(context, self.certificate_file, self.key_file)
        elif self.key_file is not None:
            raise InvalidSetting(
                f"{KEY_FILE} is set and {CERTIFICATE_FILE} is not", remedy=f"set {CERTIFICATE_FILE} to the key's certificate"
            )
        return context

    def read_token(self) -> str:
        """Return the token of OAUTHBEARER. Raises InvalidSetting: the file may have changed since the start."""
        try:
            token = Path(self.token_file or "").read_text("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        if not token:
            raise InvalidSetting(f"{TOKEN_FILE} is {self.token_file!r}, which has no ASCII token", remedy="write only the token into it")
        return token


PLAINTEXT = Security()
"""Neither encryption nor authentication, as for the embedded broker."""


def _check_mechanism(environ: Environ, security: Security) -> None:
    reason = f"{PROTOCOL} is {security.protocol}"
    if security.mechanism is None:
        raise InvalidSetting(f"{MECHANISM} is not set, but {reason}", remedy=f"set it to one of {', '.join(MECHANISMS)}")
    reason = f"{MECHANISM} is {security.mechanism}"
    if security.mechanism == OAUTHBEARER:
        _forbid(environ, _PASSWORD_SETTINGS, f"{reason}, which uses a token", "choose another mechanism")
        if security.token_file is None:
            raise InvalidSetting(f"{TOKEN_FILE} is not set, but {reason}", remedy="set it to the file of the token")
        return
    _forbid(environ, (TOKEN_FILE,), f"{reason}, which uses a password", f"choose {OAUTHBEARER}")
    if security.username is None:
        raise InvalidSetting(f"{USERNAME} is not set, but {reason}", remedy="set it")
    if security.password is None:
        raise InvalidSetting(f"neither {PASSWORD} nor {PASSWORD_FILE} is set, but {reason}", remedy="set one of them")


def _forbid(environ: Environ, names: tuple[str, ...], reason: str, remedy: str) -> None:
    """Refuse settings without effect: their author relies on a protection that is not there."""
    for name in names:
        if environ.get(name):
            raise InvalidSetting(f"{name} is set, but {reason}", remedy=f"{remedy}, or unset {name}")


def _file(environ: Environ, name: str) -> str | None:
    """Return the absolute path of a readable file: processes that inherit it may start in another folder."""
    value = environ.get(name)
    if not value:
        return None
    try:
        with Path(value).open("rb"):
            return str(Path(value).absolute())
    except OSError as error:
        if name in _SECRET_FILES and not os.path.isdir(os.path.dirname(value) or "?"):  # noqa: PTH112, PTH120 pathlib raises for a long one
            # Perhaps the secret itself instead of its file: it is not repeated.
            raise InvalidSetting(f"{name} is not a readable file ({error.strerror})", remedy="set it to the file, not the secret") from None
        raise InvalidSetting(f"{name} is {value!r}, which cannot be read ({error.strerror})", remedy="set it to an existing file") from None


def _password(environ: Environ) -> str | None:
    path = _file(environ, PASSWORD_FILE)
    if path is None:
        return environ.get(PASSWORD) or None
    if environ.get(PASSWORD):
        raise InvalidSetting(f"{PASSWORD} and {PASSWORD_FILE} are both set", remedy="unset one of them")
    try:
        password = Path(path).read_text("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise InvalidSetting(f"{PASSWORD_FILE} is {path!r}, which is not UTF-8", remedy="write only the password into it") from None
    if not password:
        raise InvalidSetting(f"{PASSWORD_FILE} is {path!r}, which is empty", remedy="write the password into it")
    return password


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError:
        raise InvalidSetting(f"{CA_FILE} is {path!r}, which has no PEM certificate", remedy="set it to a file with one") from None


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        # Without a password OpenSSL would ask at the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = (getattr(error, "reason", None) or "").lower().replace("_", " ") or "not PEM"
        raise InvalidSetting(
            f"{CERTIFICATE_FILE} is {certificate!r}, which cannot be used with its key ({reason})",
            remedy=f"set it to a PEM certificate, with its unencrypted key in the same file or in {KEY_FILE}",
        ) from None
