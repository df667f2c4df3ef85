"""Events as they should not be: five kinds of fault, each with the words by which its dead letter must name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import Event

# A Kafka header that is no attribute of the event: dead letters keep it, so that each can be recognised even where the event has no id.
CASE_HEADER = "demo_case"


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that must end as a dead letter whose problem contains `reason`."""

    case: str
    message: Message
    reason: str


def broken(events: list[Event]) -> list[Broken]:
    """One broken record for each of these good events, the kinds in turn."""
    kinds = list(_KINDS.items())
    made = []
    for index, event in enumerate(events):
        name, (spoil, reason) = kinds[index % len(kinds)]
        case = f"{name} {index // len(kinds) + 1}"
        message = spoil(event.with_attributes(id=f"broken-{index}"))
        made.append(Broken(case, replace(message, headers=[*message.headers, (CASE_HEADER, case.encode())]), reason))
    return made


def _not_json(event: Event) -> Message:
    message = codec.encode(event)
    return replace(message, value=(message.value or b"")[:-20])


def _no_id(event: Event) -> Message:
    message = codec.encode(event)
    return replace(message, headers=[header for header in message.headers if header[0] != "ce_id"])


def _changed(**change: Any) -> Callable[[Event], Message]:
    def spoil(event: Event) -> Message:
        data = {**event.data, **change}
        return codec.encode(replace(event, data=orjson.dumps({name: value for name, value in data.items() if value is not None})))

    return spoil


_KINDS: dict[str, tuple[Callable[[Event], Message], str]] = {
    "not JSON": (_not_json, "not JSON"),
    "no id": (_no_id, "no id"),
    "unknown category": (_changed(carrier="ZZ"), "carrier is 'ZZ'"),
    "text for a number": (_changed(distance="far"), "distance is the string 'far'"),
    "missing feature": (_changed(dest=None), "dest is missing"),
}
