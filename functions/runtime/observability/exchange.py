"""One request and its answer, as those who watch are told of it: metrics, the request log, traces, the payload log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from eventing.event import AttributeValue


@dataclass(slots=True)
class Exchange:
    """Made for every request, filled in on the way.

    `route` is a pattern, such as /v2/models/{model}/infer, never a path. `model` and `version` are empty until they are known to be served
    here, so that no caller can invent a label. `reason` is the title of the error, empty for a success. Times are in nanoseconds, `began`
    of the wall clock; `decoded`, `predicted` and `took` count from there, 0 for what was not reached. Bodies are there only when payloads
    are logged. `method` is HTTP's, empty for another transport; `event` are the attributes of the CloudEvent, where the request is one.
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
    """It is called on the event loop after the answer was given to the server: it must neither wait nor raise."""

    def exchanged(self, exchange: Exchange) -> None: ...
