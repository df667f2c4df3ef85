"""Access checks without a client library: reach a broker, speak TLS, and word each refusal with its remedy."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from functools import cache
from typing import NoReturn

from common.redaction import redact, redact_url
from eventing.kafka import security as variables
from eventing.kafka.errors import BrokerRefused, BrokerUnreachable, TransactionsUnsupported
from eventing.kafka.port import Broker
from eventing.kafka.security import Security

logger = logging.getLogger("tidegate.kafka")

Address = tuple[str, int]

RECONNECT_SECONDS = 2.0
"""The longest wait of a client before it connects again to a broker that was away. The libraries' own are 10 and 30 s:
as long as that, records would wait for a broker that is back."""

_SERVERS = "TIDEGATE_BOOTSTRAP_SERVERS"
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
_OTHER_NAME = {62, 64}
_FENCING = (2, 5)


def listening_address(broker: Broker, timeout_seconds: float) -> Address:
    """Return the first address that accepts a TCP connection. Raises BrokerUnreachable."""
    problem = "no address was given"
    for server in broker.bootstrap_servers.split(","):
        try:
            address = _address(server)
            socket.create_connection(address, timeout=timeout_seconds).close()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        else:
            return address
    raise unreachable(broker, problem)


def unreachable(broker: Broker, problem: str) -> BrokerUnreachable:
    return BrokerUnreachable(
        f"no Kafka broker answers at {redact_url(broker.bootstrap_servers)} ({redact(problem)})",
        remedy=f"start one there, or set {_SERVERS} to another address",
    )


def connect(address: Address, security: Security, timeout_seconds: float) -> socket.socket:
    """Open a connection, with TLS where the security asks for it.

    Raises OSError, BrokerRefused or BrokerUnreachable.
    """
    sock = socket.create_connection(address, timeout=timeout_seconds)
    if not security.encrypted:
        return sock
    try:
        return security.context().wrap_socket(sock, server_hostname=address[0].rstrip("."))
    except ssl.SSLCertVerificationError as error:
        _raise_untrusted(address, security, error)
    except OSError as error:
        raise_for_alert(address, error)
        raise BrokerUnreachable(
            f"{name_of(address)} does not speak TLS ({_reason(error)})",
            remedy=f"use its TLS port, or set {variables.PROTOCOL} to {security.protocol.replace('SSL', 'PLAINTEXT')}",
        ) from None
    finally:
        # Wrapped, the socket has moved, and this closes nothing.
        sock.close()


def raise_for_alert(address: Address, error: OSError) -> None:
    """Raise BrokerRefused if the broker rejected the client's certificate, by its TLS alert."""
    alert = getattr(error, "reason", None) or ""
    if "ALERT" in alert and ("CERTIFICATE" in alert or "UNKNOWN_CA" in alert):
        raise BrokerRefused(
            f"{name_of(address)} requires a client certificate that it trusts ({_reason(error)})",
            remedy=f"set {variables.CERTIFICATE_FILE} and {variables.KEY_FILE} to one",
        ) from None


def raise_speaks_tls(address: Address) -> NoReturn:
    raise BrokerRefused(f"{name_of(address)} speaks TLS", remedy=f"set {variables.PROTOCOL} to SSL or SASL_SSL, or use another port")


def raise_rejected(address: Address, security: Security, reason: str) -> NoReturn:
    """Raise BrokerRefused for a wrong password or token."""
    if security.token_file:
        identity, cause = "the token", f"the token in {security.token_file} ({variables.TOKEN_FILE})"
    else:
        password = variables.PASSWORD_FILE if security.password_file else variables.PASSWORD
        identity, cause = f"the user {security.username}", f"{variables.USERNAME} and {password}"
    raise BrokerRefused(f"{name_of(address)} rejected {identity} ({reason.rstrip('.')})", remedy=f"check {cause}")


def raise_other_protocol(address: Address, security: Security, offered: str) -> NoReturn:
    """Raise BrokerRefused for SASL where the listener has none, or none where it requires SASL."""
    if security.authenticated:
        problem, protocol = "does not use SASL", security.protocol.removeprefix("SASL_")
    else:
        problem, protocol = f"requires SASL ({offered})", "SASL_SSL" if security.encrypted else "SASL_PLAINTEXT"
    raise BrokerRefused(f"{name_of(address)} {problem}", remedy=f"set {variables.PROTOCOL} to {protocol}, or use another port")


def raise_other_mechanism(address: Address, mechanism: str, offered: str) -> NoReturn:
    raise BrokerRefused(f"{name_of(address)} supports {offered}, not {mechanism}", remedy=f"set {variables.MECHANISM} to one of these")


def check_transactions(broker: Broker, version: tuple[int, ...] | None) -> None:
    """Raise TransactionsUnsupported for a broker before 2.5, the first that fences the members of a group (KIP-447).

    None stands for a version that is not known.
    """
    if version is not None and version < _FENCING:
        raise_no_transactions(broker, f"is Kafka {'.'.join(map(str, version))}, or the embedded broker")


def raise_no_transactions(broker: Broker, problem: str) -> NoReturn:
    raise TransactionsUnsupported(
        f"the broker at {redact_url(broker.bootstrap_servers)} {problem}, which does not isolate transactions",
        remedy="use Apache Kafka 2.5 or newer, or at-least-once delivery",
    )


def raise_id_refused(transactional_id: str) -> NoReturn:
    raise BrokerRefused(
        f"Kafka does not let this user write with the transactional id {transactional_id}", remedy="grant it Describe and Write on that id"
    )


@cache
def warn_if_readable(broker: Broker) -> None:
    """Warn once in a process of a password without encryption, except on this machine."""
    hosts = [_address(server)[0] for server in broker.bootstrap_servers.split(",")]
    if broker.security.protocol == "SASL_PLAINTEXT" and not all(map(_is_loopback, hosts)):
        logger.warning(
            "the connection to Kafka at %s is not encrypted and exposes %s; set %s to SASL_SSL",
            redact_url(broker.bootstrap_servers),
            "the token" if broker.security.token_file else "the password",
            variables.PROTOCOL,
        )


def name_of(address: Address) -> str:
    host, port = address
    return f"the Kafka broker at {f'[{host}]' if ':' in host else host}:{port}"


def _raise_untrusted(address: Address, security: Security, error: ssl.SSLCertVerificationError) -> NoReturn:
    authorities = security.ca_file or "the system's authorities"
    if error.verify_code in _OTHER_NAME:
        remedy = f"use a host name of the certificate in {_SERVERS}"
    else:
        remedy = f"set {variables.CA_FILE} to the file of the authority that signed it"
    problem = error.verify_message.rstrip(".")
    raise BrokerRefused(
        f"the certificate of {name_of(address)} is not accepted ({problem}), checked by {authorities}", remedy=remedy
    ) from None


def _address(server: str) -> Address:
    """Split `host:port`; the port defaults to 9092. Raises ValueError for a port that is not a number."""
    host, _, port = server.strip().rpartition(":")
    return (host.strip("[]"), int(port)) if host else (server.strip(), 9092)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else error.strerror or type(error).__name__
