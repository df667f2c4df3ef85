"""The ways of announcements out, to the sink and to Kubernetes, and then out of the annotation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from common.delivery import backoff
from functions.rollout import announcements
from functions.rollout.announcements import Announcement
from functions.rollout.cluster import Cluster, Conflict, NotFound, Refused
from functions.rollout.metrics import Metrics
from functions.rollout.sink import NotDelivered, Rejected, Sink
from functions.runtime.knative.client import ApiError

log = logging.getLogger("tidegate.rollout")

Object = Mapping[str, Any]
Send = Callable[[Announcement, Object], Awaitable[None]]
_ATTEMPTS = 5
_LONGEST_PAUSE_SECONDS = 60.0


class Delivery:
    """Delivers what waits as Events of Kubernetes and as CloudEvents. Neither waits for the other.

    An announcement leaves the annotation when both are delivered, or given up.
    """

    def __init__(self, cluster: Cluster, sink: Sink | None, metrics: Metrics) -> None:
        self._cluster = cluster
        self._sink = sink
        self._metrics = metrics
        self._ways = (_Way(self._report), *([_Way(self._post)] if sink else []))
        self._warned: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    async def deliver(self, service: Object) -> None:
        """Deliver the announcements of a Knative Service. What fails is logged, and waits for the next turn."""
        pending = announcements.waiting(service)
        if not pending:
            return
        delivered = set.intersection(*[await way.deliver(pending, service) for way in self._ways])
        if delivered:
            await self._remove(service, delivered)

    async def warn(self, service: Object, problem: str, at: float) -> None:
        """Report a problem as an Event of Kubernetes, once; also from several processes it is one Event."""
        name = service["metadata"]["name"]
        if self._warned.get(name) != problem:
            self._warned[name] = problem
            log.warning("%s: %s", name, problem)
        if self._recorded.get(name) == problem:
            return
        event = announcements.kubernetes_event(service, reason="RolloutNotPossible", message=problem, warning=True, at=at, identity=problem)
        try:
            await self._record(event, name)
        except ApiError as error:
            log.warning("%s", error)
            return
        self._recorded[name] = problem

    async def _report(self, announcement: Announcement, service: Object) -> None:
        await self._record(announcements.to_kubernetes(announcement, service), announcement.id)

    async def _record(self, event: Object, about: str) -> None:
        """Create an Event of Kubernetes. One that is refused is given up."""
        try:
            await asyncio.to_thread(self._cluster.record, event)
        except Refused as error:
            log.error("%s The Event about %s is given up.", error, about)

    async def _post(self, announcement: Announcement, _: Object) -> None:
        assert self._sink is not None  # noqa: S101 there is no such way without it
        try:
            await self._sink.post(announcements.to_event(announcement, self._cluster.namespace))
        except Rejected as error:
            log.error("%s The event %s is given up.", error, announcement.id)
            self._metrics.delivery("rejected")
        except NotDelivered:
            self._metrics.delivery("failed")
            raise
        else:
            self._metrics.delivery("delivered")

    async def _remove(self, service: Object, delivered: set[str]) -> None:
        """Remove announcements. If that fails, it is tried again after the next turn."""
        name = service["metadata"]["name"]
        try:
            for _ in range(_ATTEMPTS):
                patch = {
                    "resourceVersion": service["metadata"]["resourceVersion"],
                    "annotations": announcements.without(service, delivered),
                }
                try:
                    await asyncio.to_thread(self._cluster.patch, name, {"metadata": patch})
                    return
                except Conflict:
                    service = await asyncio.to_thread(self._cluster.read, name)
        except NotFound:
            return
        except ApiError as error:
            log.warning("%s", error)


class _Way:
    """One way out, in order. After a failure it pauses, longer each time, so that turns do not wait for what is dead."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._failures = 0
        self._next_attempt = 0.0
        self._done: dict[str, set[str]] = {}
        """The ids that were sent, by Service, while they wait for the other way."""

    async def deliver(self, pending: Sequence[Announcement], service: Object) -> set[str]:
        """Send what was not sent before; returns the ids of those that wait for this way no longer."""
        name = service["metadata"]["name"]
        done = self._done[name] = self._done.get(name, set()) & {one.id for one in pending}
        try:
            for announcement in pending:
                if announcement.id in done:
                    continue
                if time.monotonic() < self._next_attempt:
                    break
                await self._send(announcement, service)
                done.add(announcement.id)
                self._failures = 0
        except (NotDelivered, ApiError) as error:
            self._failures += 1
            self._next_attempt = time.monotonic() + backoff(self._failures, first=1.0, longest=_LONGEST_PAUSE_SECONDS)
            if self._failures == 1:
                log.warning("%s A decision about %s is kept, and delivered later.", error, name)
        return done
