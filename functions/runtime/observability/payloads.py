"""Request and response bodies as CloudEvents to a sink: sampled, bounded in bytes, and never in the caller's way."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from eventing.event import SPECVERSION, AttributeValue, Event, is_json
from eventing.types import INFERENCE_REQUEST, INFERENCE_RESPONSE
from functions.runtime.observability.background import Background
from functions.runtime.observability.exchange import Exchange

if TYPE_CHECKING:
    from functions.runtime.observability.sender import Sender

# What an exchange takes besides its bodies, about.
_OVERHEAD_BYTES = 1_024
# A larger body goes alone: it gains nothing from company, and to check that it is JSON would hold up the event loop.
_BATCHED_BYTES = 64 * 1_024
# Not the router's salt: a sample has the same share of every arm.
_SALT = b"tidegate.payload"


class Payload(NamedTuple):
    """One body, the request's or the response's, taken from its exchange; `key` is the same for both."""

    exchange: Exchange
    is_response: bool
    body: bytes
    key: str


# The event that tells of a body; None when nobody is told of it.
Describe = Callable[[Payload], Event | None]


class Payloads:
    """An Observer for the exchanges whose bodies were kept. `sample` is the share of requests, 0 to 1."""

    def __init__(self, sink: str, *, sample: float, queue_bytes: int, describe: Describe, batches: bool) -> None:
        self._sink = sink
        self._threshold = int(sample * 2**64)
        self._describe = describe
        self._batches = batches
        self._sender: Sender | None = None
        self.background: Background[Payload] = Background("payloads", self._send, limit=queue_bytes, at_end=self._close)

    def wants(self, request_id: str) -> bool:
        """Whether to keep the bodies of this request. Replicas agree on one that has an id; one without (empty) is drawn by lot."""
        if not request_id:
            return random.random() * 2**64 < self._threshold  # noqa: S311 not for secrets
        digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, person=_SALT).digest()
        return int.from_bytes(digest, "big") < self._threshold

    def exchanged(self, exchange: Exchange) -> None:
        """Takes the bodies over, so that nobody who keeps the exchange keeps them beyond the bound of this queue."""
        if exchange.request is None and exchange.response is None:
            return
        bodies = ((False, exchange.request), (True, exchange.response))
        exchange.request = exchange.response = None
        key = os.urandom(16).hex()
        for is_response, body in bodies:
            if body is not None:
                self.background.put(Payload(exchange, is_response, body, key), len(body) + _OVERHEAD_BYTES)

    def _send(self, payloads: list[Payload]) -> int:
        """How many events were lost."""
        if self._sender is None:
            # Here, in the thread: the client of the standard library takes as long to import as a model to load.
            from functions.runtime.observability.sender import Sender

            self._sender = Sender(self._sink, self.background.stopping, batched_bytes=_BATCHED_BYTES if self._batches else 0)
        return self._sender.send([event for payload in payloads if (event := self._describe(payload)) is not None])

    def _close(self) -> None:
        if self._sender is not None:
            self._sender.close()


def tidegate_event(payload: Payload) -> Event:
    """`dev.tidegate.inference.request` or `.response`: they share the correlationid; the response's causationid is the request's id."""
    exchange, key = payload.exchange, payload.key
    side, type_ = ("response", INFERENCE_RESPONSE) if payload.is_response else ("request", INFERENCE_REQUEST)
    attributes: dict[str, AttributeValue] = {
        "id": f"{key}-{side}",
        "source": f"/models/{exchange.model}",
        "type": type_,
        "correlationid": key,
        "protocol": exchange.protocol,
        "requestid": exchange.request_id,
        "modelversion": exchange.version,
        "traceparent": exchange.traceparent,
    }
    if payload.is_response:
        attributes |= {"causationid": f"{key}-request", "status": exchange.status}
    return _event(attributes, payload)


def kserve_event(service: str, namespace: str) -> Describe:
    """As KServe's payload logger (pkg/logger) has them: the request's id for both, and the response of a success alone."""

    def describe(payload: Payload) -> Event | None:
        exchange = payload.exchange
        if payload.is_response and exchange.status != 200:
            return None
        attributes: dict[str, AttributeValue] = {
            "id": exchange.request_id or payload.key,
            "source": f"/models/{exchange.model}",
            "type": f"org.kubeflow.serving.inference.{'response' if payload.is_response else 'request'}",
            "inferenceservicename": service or exchange.model,
            "namespace": namespace,
            "component": "predictor",
            "endpoint": "default",
        }
        return _event(attributes, payload)

    return describe


def pod_namespace(account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")) -> str:
    """The namespace as every pod finds it; empty outside of a cluster."""
    try:
        return (account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _event(attributes: dict[str, AttributeValue], payload: Payload) -> Event:
    """Without the attributes that are empty."""
    exchange, body = payload.exchange, payload.body
    nanoseconds = exchange.began + (exchange.took if payload.is_response else 0)
    attributes |= {"specversion": SPECVERSION, "time": datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat().replace("+00:00", "Z")}
    if body:
        attributes["datacontenttype"] = _true_type(body, exchange.response_type if payload.is_response else exchange.request_type)
    return Event({name: value for name, value in attributes.items() if value != ""}, body or None)


def _true_type(data: bytes, content_type: str) -> str:
    """What small data says it is, unless it says JSON and is not: unparsed, that would break the batch that it goes into."""
    if len(data) <= _BATCHED_BYTES and is_json(content_type or None):
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            return "application/octet-stream"
    return content_type or "application/json"
