"""Triggers from the ingress of their Broker to their subscriber, on a real broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.subscriber import Counts

from .conftest import Eventing, Sink, event

StartSink = Callable[..., Awaitable[Sink]]
RETRIES = {"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"}


def counts(eventing: Eventing, name: str = "a") -> Counts:
    return eventing.triggers.counts()[Address("default", name)]


async def test_event_is_delivered_as_it_was_sent(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    sent = event(1, subject="é%", partitionkey="k")

    assert await eventing.send(sent) == 202

    assert await received.wait(1) == [sent]
    assert received.headers[0]["prefer"] == "reply"
    assert received.headers[0]["kn-namespace"] == "default"
