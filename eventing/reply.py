"""What a model answers to an event: another event, which can be joined to the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from eventing.event import SPECVERSION, AttributeValue, Event

COMPLETED = "dev.tidegate.inference.completed"
FAILED = "dev.tidegate.inference.failed"
PROBLEM_MEDIA_TYPE = "application/problem+json"
_KEPT = ("subject", "partitionkey", "traceparent", "tracestate", "correlationid")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something failed (RFC 9457). `detail` is one sentence for a person; `status` decides what a sender does next."""

    status: int
    title: str
    detail: str
    extensions: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**self.extensions, "title": self.title, "status": self.status, "detail": self.detail}

    @classmethod
    def from_json(cls, value: Any) -> Problem:
        """Tolerant: a failure must be reported even when its report is malformed."""
        if not isinstance(value, dict):
            return cls(500, "failed", f"the model answered without a problem: {_text(value, 'something nested')}.")
        known = {"status", "title", "detail"}
        status = value.get("status")
        return cls(
            status if isinstance(status, int) else 500,
            _text(value.get("title"), "failed"),
            _text(value.get("detail"), "no detail was given."),
            {name: item for name, item in value.items() if name not in known},
        )


def _text(value: Any, otherwise: str) -> str:
    """What is nested may be so deeply that Python cannot write it."""
    return str(value) if value is not None and not isinstance(value, (dict, list)) else otherwise


def reply_id(source: str, event_id: str, model: str) -> str:
    """The same for each delivery of one event to one model, so that readers can drop repetitions."""
    parts = (part.encode() for part in (source, event_id, model))
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def completed(request: Event, model: str, version: str | None, data: Any) -> Event:
    attributes = _attributes(request, model, version, COMPLETED)
    attributes["datacontenttype"] = "application/json"
    return Event(attributes, data)


def failed(request: Event, model: str, problem: Problem, version: str | None = None) -> Event:
    attributes = _attributes(request, model, version, FAILED)
    # Not application/problem+json, which Go's SDK does not know for JSON: in a batch it would not read the events behind this one either.
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
    for name in _KEPT:
        value = request.attributes.get(name)
        if value is not None:
            attributes[name] = value
    return attributes
