"""The security settings as keyword arguments of kafka-python's clients."""

from __future__ import annotations

from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from eventing.kafka.security import Security


def security_options(security: Security) -> dict[str, Any]:
    """Return the keyword arguments. They name files, not contents, so that renewed certificates need no restart."""
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if security.encrypted:
        options |= {"ssl_cafile": security.ca_file, "ssl_certfile": security.certificate_file, "ssl_keyfile": security.key_file}
    if security.authenticated:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    if security.token_file:
        options["sasl_oauth_token_provider"] = _TokenFile(security)
    return options


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, security: Security) -> None:
        super().__init__()
        self._security = security

    def token(self) -> str:
        return self._security.read_token()
