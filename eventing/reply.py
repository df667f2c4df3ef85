"""Replies: the event that a model returns for an event, and the problem that it carries after a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from eventing.event import SPECVERSION, AttributeValue, Event
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED

DEADLETTER_REPLAY = "deadletterreplay"
"""The attribute of an event that was replayed from a dead letter: the run of the replay."""
PROBLEM_MEDIA_TYPE = "application/problem+json"
# Attributes that a reply copies from its request.
_COPIED = ("subject", "partitionkey", "traceparent", "tracestate", "correlationid", DEADLETTER_REPLAY)


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason of a failure (RFC 9457).

    `detail` is one sentence for a person; `status` determines the sender's next step.
    """

    status: int
    title: str
    detail: str
    extensions: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the problem as a JSON object, extensions included."""
        return {**self.extensions, "title": self.title, "status": self.status, "detail": self.detail}

    @classmethod
    def from_json(cls, value: Any) -> Problem:
        """Read a problem from any JSON value: a failure must be reported even when its report is malformed."""
        if not isinstance(value, dict):
            return cls(500, "failed", f"the model replied without a problem: {_text(value, 'a nested value')}.")
        known = {"status", "title", "detail"}
        status = value.get("status")
        return cls(
            status if isinstance(status, int) else 500,
            _text(value.get("title"), "failed"),
            _text(value.get("detail"), "no detail was given."),
            {name: item for name, item in value.items() if name not in known},
        )


def _text(value: Any, otherwise: str) -> str:
    """Return a value as a string; a nested one may be too deep for `str`."""
    return str(value) if value is not None and not isinstance(value, (dict, list)) else otherwise


def reply_id(source: str, event_id: str, model: str) -> str:
    """Return the id of a reply: equal for each delivery of an event to a model, so that readers can deduplicate."""
    parts = (part.encode() for part in (source, event_id, model))
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def completed(request: Event, model: str, version: str | None, data: Any) -> Event:
    """Return the reply with a model's outputs as its JSON data."""
    attributes = _attributes(request, model, version, INFERENCE_COMPLETED)
    attributes["datacontenttype"] = "application/json"
    return Event(attributes, data)


def failed(request: Event, model: str, problem: Problem, version: str | None = None) -> Event:
    """Return the reply with a problem as its JSON data."""
    attributes = _attributes(request, model, version, INFERENCE_FAILED)
    # Not application/problem+json: Go's SDK does not recognise it as JSON, and would fail to read the rest of a batch
    # as well.
    attributes["datacontenttype"] = "application/json"
    return Event(attributes, problem.to_json())


def _attributes(request: Event, model: str, version: str | None, type_: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": reply_id(request.source, request.id, model),
        "source": f"/models/{model}",
        "type": type_,
        "causationid": request.id,
    }
    if version is not None:
        attributes["modelversion"] = version
    for name in _COPIED:
        value = request.attributes.get(name)
        if value is not None:
            attributes[name] = value
    return attributes
