"""Invalid events: five kinds of fault, each with the text that its dead letter must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import Event

# A Kafka header that is not an attribute of the event. Dead letters keep it, so each can be identified even if the
# event has no id.
CASE_HEADER = "demo_case"


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A record that must become a dead letter whose problem contains `reason`."""

    case: str
    message: Message
    reason: str


def broken(events: list[Event]) -> list[Broken]:
    """Break a copy of each event, by the kinds in turn."""
    kinds = list(_KINDS.items())
    made = []
    for index, event in enumerate(events):
        name, (break_event, reason) = kinds[index % len(kinds)]
        case = f"{name} {index // len(kinds) + 1}"
        message = break_event(event.with_attributes(id=f"broken-{index}"))
        marked = replace(message, headers=[*message.headers, (CASE_HEADER, case.encode())])
        made.append(Broken(case=case, message=marked, reason=reason))
    return made


def _not_json(event: Event) -> Message:
    message = codec.encode(event)
    return replace(message, value=(message.value or b"")[:-20])


def _no_id(event: Event) -> Message:
    message = codec.encode(event)
    return replace(message, headers=[header for header in message.headers if header[0] != "ce_id"])


def _changed(**change: Any) -> Callable[[Event], Message]:
    def change_data(event: Event) -> Message:
        data = {**event.data, **change}
        return codec.encode(replace(event, data=orjson.dumps({name: value for name, value in data.items() if value is not None})))

    return change_data


_KINDS: dict[str, tuple[Callable[[Event], Message], str]] = {
    "not JSON": (_not_json, "not JSON"),
    "no id": (_no_id, "no id"),
    "unknown category": (_changed(carrier="ZZ"), "carrier is 'ZZ'"),
    "text for a number": (_changed(distance="far"), "distance is the string 'far'"),
    "missing feature": (_changed(dest=None), "dest is missing"),
}
