"""The security settings as properties of librdkafka."""

from __future__ import annotations

import time
from typing import Any

from eventing.kafka.security import Security

# How long librdkafka keeps a token. It reads the file again at 80% of that, long before a token of an hour is renewed.
_TOKEN_SECONDS = 60.0


def security_options(security: Security) -> dict[str, Any]:
    """Return the properties. Librdkafka reads certificates when a client is made, and a token again and again."""
    options: dict[str, Any] = {"security.protocol": security.protocol.lower()}
    if security.encrypted:
        options["ssl.ca.location"] = security.ca_file or "probe"
        if security.certificate_file:
            options |= {
                "ssl.certificate.location": security.certificate_file,
                "ssl.key.location": security.key_file or security.certificate_file,
            }
    if security.authenticated:
        options["sasl.mechanism"] = security.mechanism
    if security.username is not None:
        options |= {"sasl.username": security.username, "sasl.password": security.password}
    if security.token_file:
        options["oauth_cb"] = lambda _: (security.read_token(), time.time() + _TOKEN_SECONDS)
    return options
