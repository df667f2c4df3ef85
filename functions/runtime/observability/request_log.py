"""The request log: one JSON line per request on stdout, without payload.

Field names are those of OpenTelemetry and, where it has none, of the Elastic Common Schema.
"""

from __future__ import annotations

import os
import re
import select
from datetime import UTC, datetime
from typing import Any

import orjson

from functions.runtime.observability.background import Background
from functions.runtime.observability.exchange import Exchange

# About 5 MB: some seconds of a busy function, until the reader of stdout catches up.
_LINES = 10_000
# A caller's id may be long.
_LONGEST_ID = 256
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class RequestLog:
    """An Observer that writes to a file descriptor: a full pipe would block `sys.stdout`'s buffer at exit."""

    def __init__(self, descriptor: int = 1, *, lines: int = _LINES) -> None:
        self._descriptor = descriptor
        self.background: Background[Exchange] = Background("request log", self._write, limit=lines)

    def exchanged(self, exchange: Exchange) -> None:
        self.background.put(exchange)

    def _write(self, exchanges: list[Exchange]) -> int:
        """Write all lines, waiting for a pipe that another process has made non-blocking. Raises OSError."""
        text = memoryview(b"".join(line_of(item) for item in exchanges))
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
        return 0


def line_of(exchange: Exchange) -> bytes:
    """Encode an exchange as a line of JSON."""
    return orjson.dumps(fields_of(exchange), option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def fields_of(exchange: Exchange) -> dict[str, Any]:
    """Return the fields of an exchange, without empty ones.

    Times are in seconds, except `event.duration`, which is in nanoseconds in the Elastic Common Schema.
    """
    line: dict[str, Any] = {
        "@timestamp": datetime.fromtimestamp(exchange.began / 1e9, UTC),
        "log.level": "error" if exchange.status >= 500 else "info",
        "log.logger": "tidegate.request",
        "message": " ".join(part for part in (exchange.method, exchange.route, str(exchange.status), exchange.reason) if part),
        "http.request.method": exchange.method,
        "http.route": exchange.route,
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.request_bytes,
        "http.response.body.size": exchange.response_bytes,
        "http.request.id": exchange.request_id[:_LONGEST_ID],
        "trace.id": trace_id(exchange.traceparent),
        "error.type": exchange.reason,
        "event.duration": exchange.took,
        "tidegate.protocol": exchange.protocol,
        "tidegate.model": exchange.model,
        "tidegate.model.version": exchange.version,
        "tidegate.rows": exchange.rows,
        "tidegate.decode.duration": exchange.decoded / 1e9,
        "tidegate.predict.duration": max(0, exchange.predicted - exchange.decoded) / 1e9,
    }
    return {name: value for name, value in line.items() if value}


def trace_id(traceparent: str) -> str:
    """Return the trace id of a W3C Trace Context header; empty for a missing or invalid header."""
    found = _TRACEPARENT.match(traceparent)
    return found[1] if found else ""
