"""A request and its response as seen by observers: metrics, the request log, traces and the payload log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from eventing.event import AttributeValue


@dataclass(slots=True)
class Exchange:
    """The record of one request, filled in during its processing.

    `route` is a pattern, such as /v2/models/{model}/infer, not a path. `model` and `version` are empty until they are
    known to be served, so that no caller can invent a label. `reason` is the title of the error, empty for a success.
    Times are in nanoseconds: `began` is of the wall clock; `decoded`, `predicted` and `took` are relative to it, 0 for
    a step that was not reached. Bodies are present only when payloads are logged. `method` is that of HTTP, empty for
    another transport; `event` has the attributes of a CloudEvent.
    """

    protocol: str
    route: str
    began: int
    traceparent: str = ""
    tracestate: str = ""
    request_id: str = ""
    model: str = ""
    version: str = ""
    rows: int = 0
    status: int = 0
    reason: str = ""
    decoded: int = 0
    predicted: int = 0
    took: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    request_type: str = ""
    response_type: str = ""
    request: bytes | None = None
    response: bytes | None = None
    method: str = "POST"
    event: Mapping[str, AttributeValue] | None = None


class Observer(Protocol):
    """Receives each exchange, on the event loop, after the response was passed to the server."""

    def exchanged(self, exchange: Exchange) -> None:
        """Record an exchange. Must neither block nor raise."""
