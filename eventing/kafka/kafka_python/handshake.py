"""A check whether a broker accepts the security settings, where kafka-python only retries until it times out.

The steps are those of a client: TLS, the SASL mechanism, the credentials. The request for the mechanism also shows
whether a listener uses SASL at all: one without it answers ILLEGAL_SASL_STATE.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, suppress
from typing import Any

from kafka.errors import IllegalSaslStateError, KafkaProtocolError, NoError, for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from eventing.kafka import access
from eventing.kafka.access import Address
from eventing.kafka.kafka_python.options import security_options
from eventing.kafka.security import MECHANISMS, Security

_TLS_ALERT = b"\x15\x03"


def check_handshake(address: Address, security: Security, timeout_seconds: float) -> None:
    """Raise BrokerRefused or BrokerUnreachable where a client with this security would fail for a clear cause.

    No answer, or one that is not Kafka's, is left to the client's own time-out.
    """
    with suppress(OSError, KafkaProtocolError), closing(access.connect(address, security, timeout_seconds)) as sock:
        connection = _Connection(sock, address)
        mechanism = security.mechanism or MECHANISMS[0]
        response = connection.request(SaslHandshakeRequest(mechanism=mechanism, version=1))
        error, offered = for_code(response.error_code), ", ".join(response.mechanisms)
        if (error is IllegalSaslStateError) == security.authenticated:
            access.raise_other_protocol(address, security, offered)
        if security.authenticated:
            if error is not NoError:
                access.raise_other_mechanism(address, mechanism, offered)
            _authenticate(connection, address, security)


class _Connection:
    """Sends requests one after another, each followed by its response."""

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self._sock = sock
        self._address = address
        self._codec = KafkaProtocol(client_id="tidegate")

    def request(self, request: Any) -> Any:
        self._codec.send_request(request)
        self._sock.sendall(self._codec.send_bytes())
        while True:
            try:
                received = self._sock.recv(4096)
            except ssl.SSLError as error:
                # In TLS 1.3 a server rejects the client's certificate only after the handshake.
                access.raise_for_alert(self._address, error)
                raise
            if received.startswith(_TLS_ALERT):
                access.raise_speaks_tls(self._address)
            if not received:
                raise ConnectionResetError(None, "the connection was closed")
            if responses := self._codec.receive_bytes(received):
                return responses[0][1]


def _authenticate(connection: _Connection, address: Address, security: Security) -> None:
    mechanism = get_sasl_mechanism(security.mechanism)(host=address[0], **security_options(security))
    try:
        while not mechanism.is_done():
            response = connection.request(SaslAuthenticateRequest(auth_bytes=mechanism.auth_bytes(), version=0))
            if response.error_code:
                access.raise_rejected(address, security, response.error_message or for_code(response.error_code).__name__)
            mechanism.receive(response.auth_bytes)
    except ValueError:
        # SCRAM is mutual: only a server that knows the password can sign its last message.
        access.raise_rejected(address, security, "its signature does not match the password")
