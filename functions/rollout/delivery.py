"""The way of announcements out: to the sink and to Kubernetes, then out of the annotation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from common.delivery import backoff
from functions.rollout import announcements
from functions.rollout.announcements import Announcement
from functions.rollout.cluster import Cluster, Conflict, NotFound
from functions.rollout.metrics import Metrics
from functions.rollout.sink import NotDelivered, Rejected, Sink
from functions.runtime.knative.client import ApiError

log = logging.getLogger("tidegate.rollout")

Object = Mapping[str, Any]
_ATTEMPTS = 5
_LONGEST_PAUSE_SECONDS = 60.0


class Delivery:
    """Delivers what waits, in order. After a failure it pauses, longer each time, so that turns do not wait for a dead sink."""

    def __init__(self, cluster: Cluster, sink: Sink | None, metrics: Metrics) -> None:
        self._cluster = cluster
        self._sink = sink
        self._metrics = metrics
        self._failures = 0
        self._next_attempt = 0.0
        self._reported: dict[str, str] = {}

    async def deliver(self, service: Object) -> None:
        """Deliver the announcements of a Knative Service. It raises nothing: what is left waits for the next turn."""
        pending = announcements.waiting(service)
        if not pending or time.monotonic() < self._next_attempt:
            return
        delivered: set[str] = set()
        try:
            for announcement in pending:
                await self._deliver_one(announcement, service)
                delivered.add(announcement.id)
            self._failures = 0
        except (NotDelivered, ApiError) as error:
            self._failures += 1
            self._next_attempt = time.monotonic() + backoff(self._failures, first=1.0, longest=_LONGEST_PAUSE_SECONDS)
            if self._failures == 1:
                log.warning("%s A decision about %s is kept, and delivered later.", error, service["metadata"]["name"])
        if delivered:
            await self._remove(service, delivered)

    async def warn(self, service: Object, problem: str, at: float) -> None:
        """Report a problem as an Event of Kubernetes, once; also from several processes it is one Event."""
        name = service["metadata"]["name"]
        if self._reported.get(name) == problem:
            return
        log.warning("%s: %s", name, problem)
        event = announcements.kubernetes_event(service, reason="RolloutNotPossible", message=problem, warning=True, at=at, identity=problem)
        try:
            await asyncio.to_thread(self._cluster.record, event)
        except ApiError as error:
            log.warning("%s", error)
        else:
            self._reported[name] = problem

    async def _deliver_one(self, announcement: Announcement, service: Object) -> None:
        await asyncio.to_thread(self._cluster.record, announcements.to_kubernetes(announcement, service))
        if self._sink is None:
            return
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
        """Remove announcements. If that fails they are delivered once more, with the same ids."""
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
