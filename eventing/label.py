"""Labels: what truly happened, as data of `dev.tidegate.outcome.labelled`.

A label is about one prediction. A publisher names it by what it has: the id of the model's reply, the event that the
model replied to, or the routing key, for a model in which each key has one outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from common.errors import InvalidEvent
from eventing.event import Event, to_json
from eventing.reply import reply_id
from eventing.types import OUTCOME_LABELLED

MOST_CHARACTERS = 1_024
"""Of each string in a label."""
_ABOUT = ("prediction", "request", "key")
_ID_BYTES = 16
_DIGEST_BITS = 53


class Request(NamedTuple):
    """The event that a model replied to."""

    source: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What happened: a number, or a boolean, which is 1.0 or 0.0.

    Exactly one of `prediction`, `request` and `key` says for which prediction. Raises InvalidEvent.
    """

    model: str
    value: float
    prediction: str | None = None
    """The id of the reply: that of the CloudEvent, or `id` of an Open Inference reply."""
    request: Request | None = None
    """The event that the model replied to."""
    key: str | None = None
    """The routing key."""

    def __post_init__(self) -> None:
        given = [name for name in _ABOUT if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} at once" if given else "no prediction"
            raise InvalidEvent(f"the label is about {what}", remedy=f"give exactly one of {', '.join(_ABOUT)}")
        _value(self.value)

    @property
    def prediction_id(self) -> str | None:
        """The id of the reply; None if the label is about a key."""
        if self.request is not None:
            return reply_id(self.request.source, self.request.id, self.model)
        return self.prediction

    def to_event(self, source: str = "/tidegate/labels") -> Event:
        """The event. Its id is the same for the same label; a corrected value is another event."""
        data = _data(self)
        attributes = {
            "specversion": "1.0",
            "type": OUTCOME_LABELLED,
            "source": source,
            "id": blake2b(to_json(data), digest_size=_ID_BYTES).hexdigest(),
            "subject": self.model,
            "partitionkey": self.model,
            "datacontenttype": "application/json",
        }
        return Event(attributes, data)


def from_event(event: Event) -> Label:
    """The label of an event by `Label.to_event`, or by another publisher. Raises InvalidEvent, naming what is wrong."""
    if event.type != OUTCOME_LABELLED:
        raise InvalidEvent(f"the event is a {event.type}, not a {OUTCOME_LABELLED}.")
    data = event.value()
    if not isinstance(data, dict):
        raise InvalidEvent("the data of a label must be an object.")
    return Label(
        model=_text("model", data.get("model")),
        value=_value(data.get("value")),
        prediction=_optional("prediction", data),
        request=_request(data.get("request")),
        key=_optional("key", data),
    )


def prediction_digest(prediction_id: str) -> int:
    """The name of a prediction in outcomes: 53 bits, which every reader of JSON has exactly, and never 0."""
    digest = blake2b(prediction_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _DIGEST_BITS)) or 1


def _data(label: Label) -> dict[str, Any]:
    about: dict[str, Any] = {"prediction": label.prediction, "key": label.key}
    if label.request is not None:
        about["request"] = label.request._asdict()
    return {"model": label.model, **{name: value for name, value in about.items() if value is not None}, "value": float(label.value)}


def _request(value: object) -> Request | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidEvent("request of the label must be an object with the source and the id of the event that was predicted for.")
    return Request(_text("source of request", value.get("source")), _text("id of request", value.get("id")))


def _optional(name: str, data: dict[str, Any]) -> str | None:
    value = data.get(name)
    return None if value is None else _text(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_CHARACTERS:
        raise InvalidEvent(f"{name} of the label must be a string of 1 to {MOST_CHARACTERS:,} characters.")
    return value


def _value(value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise InvalidEvent("value of the label must be a number or a boolean: what happened.")
    return float(value)
