"""The bound on loops: how often an event, and the replies to it, may still go through a Broker.

Knative's broker for Kafka has no bound, so that Triggers that feed each other never stop. Its channel-based broker
counts down an extension of the event, which subscribers do not see; the same is done here.
"""

from __future__ import annotations

from dataclasses import replace

from common.errors import TidegateError
from eventing.event import Event

TTL = "knativebrokerttl"
MAX_HOPS = 255
"""The hops of an event that comes from outside; the value of Knative's channel-based broker."""


class TooManyHops(TidegateError):
    """An event was caused by a chain of replies that is too long, most likely a loop."""


def left(event: Event) -> int:
    """Return how many more times the event may go through a Broker."""
    text = event.get(TTL)
    try:
        return MAX_HOPS if text is None else min(int(text[:8]), MAX_HOPS)
    except ValueError:
        return MAX_HOPS


def without(event: Event) -> Event:
    """Return the event as a subscriber sees it."""
    if TTL not in event.attributes:
        return event
    return replace(event, attributes={name: value for name, value in event.attributes.items() if name != TTL})


def following(event: Event, cause: Event) -> Event:
    """Return an event that goes into a Broker because of another one, with a hop less. Raises TooManyHops."""
    hops = left(cause) - 1
    if hops <= 0:
        raise TooManyHops(
            f"the event {event.id} of {event.source} is the end of a chain of {MAX_HOPS} replies; "
            "Triggers of the Broker feed each other: filter by type, so that none receives what it causes."
        )
    return event.with_attributes(**{TTL: hops})
