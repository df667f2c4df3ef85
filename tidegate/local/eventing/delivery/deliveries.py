"""The deliveries of the most recent events, by which `tidegate send` shows what became of one."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypedDict

from eventing.event import Event

_MAX_EVENTS = 2_000
# An event with longer attributes is not kept: senders choose them.
_MAX_CHARACTERS = 1_024

Identity = tuple[str, str]
"""The source and the id of an event."""

FILTERED, IN_DELIVERY = "filtered", "in delivery"


class ReplyStatus(TypedDict):
    """The event that a subscriber replied with."""

    source: str
    id: str
    type: str


class DeliveryStatus(TypedDict):
    """A delivery in JSON. `started` is in seconds since 1970, `seconds` None until the outcome is final."""

    namespace: str
    trigger: str
    subscriber: str
    outcome: str
    attempts: int
    status: int | None
    cause: str
    reply: ReplyStatus | None
    started: float
    seconds: float | None


@dataclass(slots=True, kw_only=True)
class Delivery:
    """The course of one event at one Trigger. It changes until `outcome` is final.

    `status` and `cause` are those of the latest attempt at the subscriber; `reply` names the event that it replied with.
    """

    namespace: str
    trigger: str
    subscriber: str
    outcome: str = IN_DELIVERY
    attempts: int = 0
    status: int | None = None
    cause: str = ""
    reply: ReplyStatus | None = None
    started: float = field(default_factory=time.time)
    seconds: float | None = None

    def replied(self, reply: Event) -> None:
        """Keep the identity and the type of the subscriber's reply."""
        if sum(map(len, (reply.source, reply.id, reply.type))) <= _MAX_CHARACTERS:
            self.reply = {"source": reply.source, "id": reply.id, "type": reply.type}

    def finish(self, outcome: str, cause: str = "") -> None:
        """Set the final outcome, with its cause if no attempt has one."""
        self.cause = self.cause or cause
        self.outcome = outcome
        self.seconds = time.time() - self.started

    def document(self) -> DeliveryStatus:
        """Return the delivery in JSON."""
        return {
            "namespace": self.namespace,
            "trigger": self.trigger,
            "subscriber": self.subscriber,
            "outcome": self.outcome,
            "attempts": self.attempts,
            "status": self.status,
            "cause": self.cause,
            "reply": self.reply,
            "started": self.started,
            "seconds": self.seconds,
        }


class Deliveries:
    """A bounded memory of deliveries by event: the oldest events are forgotten first."""

    def __init__(self, max_events: int = _MAX_EVENTS) -> None:
        self._max_events = max_events
        self._events: OrderedDict[Identity, list[Delivery]] = OrderedDict()

    def add(self, event: Event, delivery: Delivery) -> None:
        """Keep a delivery; one of the same event at the same Trigger replaces the earlier one."""
        identity = (event.source, event.id)
        if sum(map(len, identity)) > _MAX_CHARACTERS:
            return
        own = (delivery.namespace, delivery.trigger)
        others = [found for found in self._events.pop(identity, ()) if (found.namespace, found.trigger) != own]
        self._events[identity] = [*others, delivery]
        if len(self._events) > self._max_events:
            self._events.popitem(last=False)

    def of(self, source: str, id_: str) -> list[Delivery]:
        """Return the deliveries of an event; none if it is unknown or forgotten."""
        return list(self._events.get((source, id_), ()))
