"""Sequences and Parallels: chains of deliveries without a channel between them.

The sender is answered when the last step is done, so that a Trigger that sends to one commits nothing that is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from aiohttp import web

from eventing.event import Event
from tidegate.local.eventing import ingress
from tidegate.local.eventing.delivery.policy import DeliveryPolicy
from tidegate.local.eventing.delivery.subscriber import Delivered, Sleep, Subscriber
from tidegate.local.eventing.delivery.transport import Post
from tidegate.local.eventing.ingress import Address, Refused
from tidegate.local.eventing.kafka.dispatcher import Stopping
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.destinations import destinations
from tidegate.local.objects.eventing import DeliverySpec, Parallel, Sequence
from tidegate.local.objects.resources import Manifest

log = logging.getLogger("tidegate.eventing")

M = TypeVar("M", bound=Manifest)
Flow = Callable[[Event, Sleep], Awaitable[None]]
"""Take an event through all steps; wait by the given function only."""

# Events that a flow handles at a time. More are refused with 429, which senders retry.
_MOST_IN_FLIGHT = 1000


class FlowRunner(Generic[M]):
    """Runs the Sequences, or the Parallels: a `Runner`, and the handler of their ingress."""

    def __init__(self, make: Callable[[M, Resolved, Post], Flow], post: Post) -> None:
        self._make = make
        self._post = post
        self._flows: dict[Address, Flow | None] = {}
        self._in_flight: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def apply(self, item: M, context: Resolved) -> None:
        address = Address(item.metadata.namespace or "", item.metadata.name or "")
        expected = {path for path, _ in destinations(item)}
        self._flows[address] = self._make(item, context, self._post) if expected <= context.urls.keys() else None

    def delete(self, namespace: str, name: str) -> None:
        self._flows.pop(Address(namespace, name), None)

    async def close(self) -> None:
        """Finish the attempts in flight. An event that waits for a retry is refused, so that its sender retries it."""
        self._stopping.set()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take the events of a request through the flow: 202 once every step is done."""
        try:
            flow = self._flow_of(request)
            events = await ingress.events_of(request)
        except Refused as refused:
            return refused.response
        # A sender that disconnects does not stop what its event has started.
        tasks = [asyncio.ensure_future(flow(event, self._sleep)) for event in events]
        self._in_flight.update(tasks)
        for task in tasks:
            task.add_done_callback(self._in_flight.discard)
        try:
            await asyncio.shield(_all(tasks))
        except Stopping:
            return ingress.error(503, "tidegate up is stopping; retry later.")
        return web.Response(status=202)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Stopping

    def _flow_of(self, request: web.BaseRequest) -> Flow:
        address, flow = ingress.find(request, self._flows, none="nothing")
        if flow is None:
            raise Refused(503, f"a destination of {address.name} has no address yet; retry later.", {"Retry-After": "1"})
        if len(self._in_flight) >= _MOST_IN_FLIGHT:
            raise Refused(429, f"{_MOST_IN_FLIGHT} events are in flight; retry later.", {"Retry-After": "1"})
        return flow


def sequence(item: Sequence, context: Resolved, post: Post) -> Flow:
    """The steps of a Sequence: each receives the reply of the one before, and its reply receives that of the last."""
    namespace = item.metadata.namespace or ""
    steps = [_step(context.urls, f"spec.steps[{index}]", step.delivery, namespace, post) for index, step in enumerate(item.spec.steps)]
    if item.spec.reply:
        steps.append(_step(context.urls, "spec.reply", None, namespace, post))

    async def run(event: Event, sleep: Sleep) -> None:
        await _through(steps, event, sleep)

    return run


def parallel(item: Parallel, context: Resolved, post: Post) -> Flow:
    """The branches of a Parallel: each event goes to all of them at once, through the filter of those that have one."""
    namespace, urls = item.metadata.namespace or "", context.urls
    branches = []
    for index, branch in enumerate(item.spec.branches):
        path = f"spec.branches[{index}]"
        found = [("filter", branch.filter), ("subscriber", branch.subscriber), ("reply", branch.reply)]
        steps = [_step(urls, f"{path}.{name}", branch.delivery, namespace, post, path) for name, destination in found if destination]
        if item.spec.reply and not branch.reply:
            steps.append(_step(urls, "spec.reply", branch.delivery, namespace, post, path))
        branches.append(steps)

    async def run(event: Event, sleep: Sleep) -> None:
        await _all([asyncio.ensure_future(_through(steps, event, sleep)) for steps in branches])

    return run


Step = Callable[[Event, Sleep], Awaitable[Event | None]]


def _step(urls: Mapping[str, str], path: str, delivery: DeliverySpec | None, namespace: str, post: Post, owner: str | None = None) -> Step:
    """A delivery to the destination at the path, with the dead letter sink of its delivery. It returns the reply."""
    dead_letter = urls.get(f"{owner or path}.delivery.deadLetterSink")

    async def deliver(event: Event, sleep: Sleep) -> Event | None:
        replies: list[Event] = []

        async def keep(reply: Event, _: Event) -> None:
            replies.append(reply)

        subscriber = Subscriber(
            url=urls[path], dead_letter_sink=dead_letter, policy=DeliveryPolicy.of(delivery), namespace=namespace, post=post, reply=keep
        )
        delivered = await subscriber.deliver(event, sleep)
        if delivered is Delivered.SUBSCRIBER:
            return replies[0] if replies else None
        log.warning("%s: the event %s of %s is %s: %s", path, event.id, event.source, delivered.value, subscriber.counts.last_failure)
        return None

    return deliver


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks, then raise what one of them has raised."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _through(steps: list[Step], event: Event, sleep: Sleep) -> None:
    """Take an event through the steps, as long as each replies with one."""
    current: Event | None = event
    for step in steps:
        if current is None:
            return
        current = await step(current, sleep)
