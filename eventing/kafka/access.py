"""Whether a broker that listens lets a client in, and if not, why: kafka-python's clients try again until their time is over, and say that.

The steps are those of the client: TLS, the mechanism, the password. A question for the mechanism tells which security a listener has,
too: one that wants no password calls it out of place.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, suppress
from typing import Any, NoReturn

from kafka.errors import IllegalSaslStateError, KafkaProtocolError, NoError, for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from common.errors import BrokerUnreachable, TidegateError
from eventing.kafka import security as variables
from eventing.kafka.security import Security

Address = tuple[str, int]

_TLS_ALERT = b"\x15\x03"
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
_OTHER_NAME = {62, 64}


class BrokerRefused(TidegateError):
    """The broker answers, and it or the client does not accept what the other shows: trying again would not help."""


def enter(address: Address, security: Security, timeout_seconds: float) -> None:
    """Raise BrokerRefused or BrokerUnreachable if a client with this security would not be served, and it is clear why.

    A silence, or an answer that is none of Kafka's, is for the client to tell.
    """
    with suppress(OSError, KafkaProtocolError), closing(_connect(address, security, timeout_seconds)) as sock:
        talk = _Conversation(sock, address)
        asked = security.mechanism or variables.MECHANISMS[0]
        answer = talk.ask(SaslHandshakeRequest(mechanism=asked, version=1))
        error, offered = for_code(answer.error_code), ", ".join(answer.mechanisms)
        if (error is IllegalSaslStateError) == security.authenticated:
            _tell_other_protocol(address, security, offered)
        if security.authenticated:
            if error is not NoError:
                raise BrokerRefused(f"{_at(address)} takes {offered} and not {asked}; set {variables.MECHANISM} to what it takes.")
            _sign_in(talk, address, security)


def _connect(address: Address, security: Security, timeout_seconds: float) -> socket.socket:
    sock = socket.create_connection(address, timeout=timeout_seconds)
    if not security.encrypted:
        return sock
    try:
        return security.context().wrap_socket(sock, server_hostname=address[0].rstrip("."))
    except ssl.SSLCertVerificationError as error:
        _tell_bad_certificate(address, security, error)
    except OSError as error:
        _tell_alert(address, error)
        raise BrokerUnreachable(
            f"{_at(address)} does not speak TLS ({_reason(error)}); name its TLS port, "
            f"or set {variables.PROTOCOL} to {security.protocol.replace('SSL', 'PLAINTEXT')}."
        ) from None
    finally:
        # Wrapped, the socket has moved, and this closes nothing.
        sock.close()


class _Conversation:
    """Requests and their answers, one after another."""

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self._sock = sock
        self._address = address
        self._codec = KafkaProtocol(client_id="tidegate")

    def ask(self, request: Any) -> Any:
        self._codec.send_request(request)
        self._sock.sendall(self._codec.send_bytes())
        while True:
            try:
                received = self._sock.recv(4096)
            except ssl.SSLError as error:
                # In TLS 1.3 a server says only after the handshake what it thinks of the client's certificate.
                _tell_alert(self._address, error)
                raise
            if received.startswith(_TLS_ALERT):
                raise BrokerRefused(f"{_at(self._address)} speaks TLS; set {variables.PROTOCOL} to SSL or SASL_SSL, or name another port.")
            if not received:
                raise ConnectionResetError(None, "the connection was closed")
            if answers := self._codec.receive_bytes(received):
                return answers[0][1]


def _sign_in(talk: _Conversation, address: Address, security: Security) -> None:
    mechanism = get_sasl_mechanism(security.mechanism)(host=address[0], **security.options())
    try:
        while not mechanism.is_done():
            answer = talk.ask(SaslAuthenticateRequest(auth_bytes=mechanism.auth_bytes(), version=0))
            if answer.error_code:
                _tell_refused(address, security, answer.error_message or for_code(answer.error_code).__name__)
            mechanism.receive(answer.auth_bytes)
    except ValueError:
        # Only who knows a password can answer for it, in SCRAM: this is another's answer.
        _tell_refused(address, security, "its own answer does not fit the password")


def _tell_refused(address: Address, security: Security, reason: str) -> NoReturn:
    if security.token_file:
        who, what = "the token", f"the token in {security.token_file} ({variables.TOKEN_FILE})"
    else:
        used = variables.PASSWORD_FILE if security.password_file else variables.PASSWORD
        who, what = f"the user {security.username}", f"{variables.USERNAME} and {used}"
    raise BrokerRefused(f"{_at(address)} refuses {who} ({reason.rstrip('.')}); check {what}.")


def _tell_other_protocol(address: Address, security: Security, offered: str) -> NoReturn:
    if security.authenticated:
        problem, other = "takes no password", security.protocol.removeprefix("SASL_")
    else:
        problem, other = f"wants to know who calls ({offered})", "SASL_SSL" if security.encrypted else "SASL_PLAINTEXT"
    raise BrokerRefused(f"{_at(address)} {problem}; set {variables.PROTOCOL} to {other}, or name another port.")


def _tell_bad_certificate(address: Address, security: Security, error: ssl.SSLCertVerificationError) -> NoReturn:
    authorities = security.ca_file or "the system's authorities"
    if error.verify_code in _OTHER_NAME:
        remedy = "use a name of the certificate's (TIDEGATE_BOOTSTRAP_SERVERS)"
    else:
        remedy = f"name the file of the authority that signed it ({variables.CA_FILE})"
    problem = error.verify_message.rstrip(".")
    raise BrokerRefused(f"the certificate of {_at(address)} is not accepted ({problem}), checked by {authorities}; {remedy}.") from None


def _tell_alert(address: Address, error: OSError) -> None:
    """Raise BrokerRefused if the broker broke off for the client's certificate."""
    alert = getattr(error, "reason", None) or ""
    if "ALERT" in alert and ("CERTIFICATE" in alert or "UNKNOWN_CA" in alert):
        raise BrokerRefused(
            f"{_at(address)} wants a client certificate that it accepts ({_reason(error)}); "
            f"set {variables.CERTIFICATE_FILE} and {variables.KEY_FILE} to one."
        ) from None


def _reason(error: OSError) -> str:
    said = getattr(error, "reason", None)
    return str(said).lower().replace("_", " ") if said else error.strerror or type(error).__name__


def _at(address: Address) -> str:
    host, port = address
    return f"the Kafka broker at {f'[{host}]' if ':' in host else host}:{port}"
