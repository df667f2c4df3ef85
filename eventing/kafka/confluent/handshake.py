"""A check whether a broker accepts the security settings, where librdkafka only retries until it times out.

The listener is asked by one request of its own, since librdkafka only says that a connection was closed.
The credentials are left to librdkafka, which reports those that were rejected.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from contextlib import closing, suppress
from typing import Any

from confluent_kafka import KafkaError as Code

from eventing.kafka import access
from eventing.kafka.access import Address
from eventing.kafka.security import MECHANISMS, Security

_TLS_ALERT = b"\x15\x03"
_SASL_HANDSHAKE, _VERSION = 17, 1
_NO_ERROR, _ILLEGAL_SASL_STATE = 0, 34
# An answer has a few names; more is not Kafka's.
_MOST_BYTES = 65_536
_AROUND_REASON = re.compile(r"^.*SASL authentication error: | \(after \d+ms in state \w+\)$")


class Rejection:
    """Keeps why the credentials of one client were rejected, for as long as it is asked."""

    def __init__(self) -> None:
        self._reason = ""

    def note(self, error: Any) -> None:
        """Take an error of librdkafka's connections."""
        if error.code() == Code._AUTHENTICATION:  # noqa: SLF001 the library names its own codes so
            self._reason = _AROUND_REASON.sub("", error.str())

    def raise_noted(self, address: Address, security: Security) -> None:
        """Raise BrokerRefused if there was one."""
        if self._reason:
            access.raise_rejected(address, security, self._reason)


def check_listener(address: Address, security: Security, timeout_seconds: float) -> None:
    """Raise BrokerRefused or BrokerUnreachable where a client with this security would fail for a clear cause.

    No answer, or one that is not Kafka's, is left to the client's own time-out.
    """
    with suppress(OSError, struct.error), closing(access.connect(address, security, timeout_seconds)) as sock:
        mechanism = security.mechanism or MECHANISMS[0]
        error, mechanisms = _ask(sock, address, mechanism)
        offered = ", ".join(mechanisms)
        if (error == _ILLEGAL_SASL_STATE) == security.authenticated:
            access.raise_other_protocol(address, security, offered)
        if security.authenticated and error != _NO_ERROR:
            access.raise_other_mechanism(address, mechanism, offered)


def _ask(sock: socket.socket, address: Address, mechanism: str) -> tuple[int, list[str]]:
    """Send SaslHandshakeRequest; return the error and the mechanisms of the listener."""
    body = struct.pack(">hhi", _SASL_HANDSHAKE, _VERSION, 0) + _string("tidegate") + _string(mechanism)
    sock.sendall(struct.pack(">i", len(body)) + body)
    (size,) = struct.unpack(">i", _receive(sock, address, 4))
    if not 0 <= size <= _MOST_BYTES:
        raise struct.error("the answer is not Kafka's")
    answer = _receive(sock, address, size)
    _, error, count = struct.unpack_from(">ihi", answer)
    mechanisms, at = list[str](), 10
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        mechanisms.append(answer[at + 2 : at + 2 + length].decode("ascii", "replace"))
        at += 2 + length
    return error, mechanisms


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _receive(sock: socket.socket, address: Address, count: int) -> bytes:
    received = b""
    while len(received) < count:
        try:
            chunk = sock.recv(count - len(received))
        except ssl.SSLError as error:
            # In TLS 1.3 a server rejects the client's certificate only after the handshake.
            access.raise_for_alert(address, error)
            raise
        if not received and chunk.startswith(_TLS_ALERT):
            access.raise_speaks_tls(address)
        if not chunk:
            raise ConnectionResetError(None, "the connection was closed")
        received += chunk
    return received
