"""Brokers and Triggers as the tests use them: events, subscribers that record, and objects made of a few words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from tidegate.local.eventing.delivery.transport import HttpPost
from tidegate.local.eventing.kafka.broker import BrokerRunner
from tidegate.local.eventing.kafka.trigger import TriggerRunner
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.objects import eventing as objects

NAMESPACE = "default"
BROKER_HOST = "broker-ingress.localhost"
Answer = Callable[[Event], Awaitable[web.Response]]


def event(number: int = 0, /, **attributes: str | int) -> Event:
    """An event with a body that is not JSON as orjson writes it."""
    given = {"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": "t", "datacontenttype": "application/json", **attributes}
    return Event(given, b'{ "number": %d }' % number)


def respond(reply: Event | None = None, *, status: int = 200) -> web.Response:
    """A response with an event, or an empty one."""
    if reply is None:
        return web.Response(status=204 if status == 200 else status)
    message = http.encode([reply], Mode.BINARY)
    return web.Response(status=status, headers=message.headers, body=message.body)


def as_sent(*received: Event) -> list[Event]:
    """The events without the attributes that say where they were read."""
    added = {"knativekafkapartition", "knativekafkaoffset"}
    assert all(added <= found.attributes.keys() for found in received)
    return [replace(found, attributes={name: value for name, value in found.attributes.items() if name not in added}) for found in received]


@dataclass
class Sink:
    """A subscriber that records what it receives."""

    url: str = ""
    events: list[Event] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ids(self) -> list[str]:
        return [found.id for found in self.events]

    async def wait(self, count: int) -> list[Event]:
        """Wait until there are that many events."""
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: len(self.events) >= count)
        return self.events


@dataclass
class Eventing:
    """A Broker named `b`, and Triggers made by the tests."""

    brokers: BrokerRunner
    triggers: TriggerRunner
    post: HttpPost
    ingress: str
    conditions: list[tuple[str, str, Condition]]
    name: str = "b"

    def broker(self, name: str = "b", **annotations: str) -> None:
        manifest = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": metadata(name, annotations)}
        self.brokers.apply(objects.Broker.model_validate(manifest), Resolved())

    def trigger(
        self, name: str, url: str | None, *, dead_letter: str | None = None, order: str = "", broker: str = "b", **spec: Any
    ) -> None:
        annotations = {objects.DELIVERY_ORDER: order} if order else {}
        delivery = spec.get("delivery")
        manifest = {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": metadata(name, annotations),
            "spec": {"broker": broker, "subscriber": {"uri": "http://unused"}, **spec},
        }
        item = objects.Trigger.model_validate(manifest)
        resolved = Resolved(subscriber=url, dead_letter=dead_letter, delivery=delivery and item.spec.delivery)
        self.triggers.apply(item, resolved)

    async def ready(self, *names: str, kind: str = "DependencyReady") -> None:
        """Wait until each of these objects has the condition."""
        wanted = {(NAMESPACE, name, Condition(type=kind)) for name in names}
        await until(lambda: wanted <= set(self.conditions))

    async def send(self, *events: Event, mode: Mode = Mode.BINARY, broker: str = "b") -> int:
        answer = await self.post(f"{self.ingress}/{NAMESPACE}/{broker}", http.encode(events, mode))
        return answer.status


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 the state of a broker has no event
            await asyncio.sleep(0.01)


def metadata(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "annotations": annotations}
