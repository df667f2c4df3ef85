"""How long the caller of a request still waits, in headers: as it is received, and as it is passed on. No I/O.

gRPC's header is also that of gateways from HTTP to gRPC, and no proxy on the way to a revision changes it. Envoy's is
what Envoy, and with it Istio, sends to the servers that it calls.
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from functions.runtime.errors import InvalidInput

TIMEOUT = b"grpc-timeout"
_EXPECTED = b"x-envoy-expected-rq-timeout-ms"
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MILLISECONDS = re.compile(rb"\d{1,15}")
# The largest number of a unit: it has at most 8 digits.
_MOST = 99_999_999


def timeout_of(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the seconds that the caller waits, from when it sent the request; None if it does not say.

    Names are in lower case. The shorter time of two counts. Raises InvalidInput.
    """
    timeout, expected = headers.get(TIMEOUT), headers.get(_EXPECTED)
    if timeout is None and expected is None:
        return None
    found = [] if timeout is None else [_timeout(timeout)]
    if expected is not None and (seconds := _expected(expected)):  # Envoy's 0 is no limit
        found.append(seconds)
    return min(found, default=None)


def encoded(seconds: float) -> bytes:
    """Return the value of `grpc-timeout`, rounded down, of a number of seconds."""
    microseconds = max(int(seconds * 1e6), 0)
    if microseconds <= _MOST:
        return b"%du" % microseconds
    return b"%dm" % min(microseconds // 1000, _MOST)


def _timeout(value: bytes) -> float:
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        raise InvalidInput(
            f"grpc-timeout is {_shown(value)}",
            remedy="send at most 8 digits and a unit (H, M, S, m, u or n), such as 500m for half a second",
        )
    return int(found[1]) * _SECONDS[found[2]]


def _expected(value: bytes) -> float:
    if not _MILLISECONDS.fullmatch(value):
        raise InvalidInput(f"{_EXPECTED.decode()} is {_shown(value)}", remedy="send a number of milliseconds, or leave it out")
    return int(value) / 1000


def _shown(value: bytes) -> str:
    return repr(value.decode("latin-1")[:40])
