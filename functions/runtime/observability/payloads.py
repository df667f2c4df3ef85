"""The payload log: request and response bodies, sent to a sink as CloudEvents, sampled and bounded in bytes."""

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

# About the bytes of an exchange without its bodies.
_OVERHEAD_BYTES = 1_024
# A larger body is sent alone: it gains nothing from a batch, and checking that it is JSON would block the event loop.
_BATCHED_BYTES = 64 * 1_024
# Another salt than the router's, so that a sample has the same share of every arm.
_SALT = b"tidegate.payload"


class Payload(NamedTuple):
    """The body of a request or a response; `key` is the same for both."""

    exchange: Exchange
    is_response: bool
    body: bytes
    key: str


# Makes the event with a body, or None for a body that is not sent.
Describe = Callable[[Payload], Event | None]


class Payloads:
    """An Observer that sends the bodies of sampled requests. `sample` is the share of requests, 0 to 1."""

    def __init__(self, sink: str, *, sample: float, queue_bytes: int, describe: Describe, batches: bool) -> None:
        self._sink = sink
        self._threshold = int(sample * 2**64)
        self._describe = describe
        self._batches = batches
        self._sender: Sender | None = None
        self.background: Background[Payload] = Background("payloads", self._send, limit=queue_bytes, at_end=self._close)

    def wants(self, request_id: str) -> bool:
        """Return whether a request is sampled: by its id, so that replicas agree, or at random if the id is empty."""
        if not request_id:
            return random.random() * 2**64 < self._threshold  # noqa: S311 not for secrets
        digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, person=_SALT).digest()
        return int.from_bytes(digest, "big") < self._threshold

    def exchanged(self, exchange: Exchange) -> None:
        """Move the bodies from the exchange to the queue, whose limit then bounds them for all observers."""
        if exchange.request is None and exchange.response is None:
            return
        bodies = ((False, exchange.request), (True, exchange.response))
        exchange.request = exchange.response = None
        key = os.urandom(16).hex()
        for is_response, body in bodies:
            if body is not None:
                self.background.put(Payload(exchange, is_response, body, key), len(body) + _OVERHEAD_BYTES)

    def _send(self, payloads: list[Payload]) -> int:
        """Send events; returns the number of lost ones."""
        if self._sender is None:
            # Imported in the thread: the HTTP client of the standard library takes as long to import as a model takes
            # to load.
            from functions.runtime.observability.sender import Sender

            self._sender = Sender(self._sink, self.background.stopping, batched_bytes=_BATCHED_BYTES if self._batches else 0)
        return self._sender.send([event for payload in payloads if (event := self._describe(payload)) is not None])

    def _close(self) -> None:
        if self._sender is not None:
            self._sender.close()


def tidegate_event(payload: Payload) -> Event:
    """Make a `dev.tidegate.inference.request` or `.response` event.

    Both have the same correlationid; the response's causationid is the request event's id.
    """
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
    """Make events like KServe's payload logger (pkg/logger).

    Both have the request's id, and only successful responses are sent.
    """

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
    """Return the pod's namespace from its service account; empty outside of a cluster."""
    try:
        return (account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _event(attributes: dict[str, AttributeValue], payload: Payload) -> Event:
    """Make an event, without empty attributes."""
    exchange, body = payload.exchange, payload.body
    nanoseconds = exchange.began + (exchange.took if payload.is_response else 0)
    attributes |= {"specversion": SPECVERSION, "time": datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat().replace("+00:00", "Z")}
    if body:
        attributes["datacontenttype"] = _true_type(body, exchange.response_type if payload.is_response else exchange.request_type)
    return Event({name: value for name, value in attributes.items() if value != ""}, body or None)


def _true_type(data: bytes, content_type: str) -> str:
    """Return the content type, but not JSON for small data that are not valid JSON: they would break their batch."""
    if len(data) <= _BATCHED_BYTES and is_json(content_type or None):
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            return "application/octet-stream"
    return content_type or "application/json"
