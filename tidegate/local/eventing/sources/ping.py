"""PingSources: events on a schedule, as Knative's adapter sends them.

A time at which `tidegate up` does not run is not caught up on, as on a cluster without the adapter.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from common.errors import TidegateError
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import SPECVERSION, AttributeValue, Event, check
from eventing.types import KNATIVE_PING
from tidegate.local.eventing.delivery.transport import Post, PostFailed
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects import cron
from tidegate.local.objects.eventing import PingSource
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE

log = logging.getLogger("tidegate.local")

# The adapter's retries (`ContextWithRetriesExponentialBackoff`), and the statuses that the CloudEvents SDK for Go retries.
_RETRIES = 5
_FIRST_WAIT_SECONDS = 0.05
_RETRIED = frozenset({404, 413, 425, 429, 502, 503, 504})
# Longer than a start from zero.
_ATTEMPT_SECONDS = 120.0
# Of one source: a sink that hangs must not collect the events of a schedule by the second without end.
_MOST_IN_FLIGHT = 100
# A timer does not follow a change of the clock, or a machine that sleeps, so that a long wait is divided.
_LONGEST_WAIT_SECONDS = 30.0
_CLOSE_SECONDS = 10.0

Key = tuple[str, str]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Counts:
    """Events of a source since it was started, and when the next one is due."""

    sent: int = 0
    failed: int = 0
    next: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A PingSource that has a sink."""

    item: PingSource
    sink: str
    counts: Counts

    @property
    def key(self) -> Key:
        return self.item.metadata.namespace or DEFAULT_NAMESPACE, self.item.metadata.name or ""


class Pings:
    """The runner of PingSources. The clock and the waits are parameters for tests."""

    def __init__(self, post: Post, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), sleep: Sleep = asyncio.sleep) -> None:
        self._post = post
        self._now = now
        self._sleep = sleep
        self._loops: dict[Key, asyncio.Task[None]] = {}
        self._sending: dict[Key, set[asyncio.Task[None]]] = {}
        self._counts: dict[Key, Counts] = {}

    def apply(self, item: PingSource, context: Resolved) -> None:
        """Follow the schedule of a new or changed source. One whose sink has no address waits for it."""
        key = item.metadata.namespace or DEFAULT_NAMESPACE, item.metadata.name or ""
        self._end(key)
        counts = self._counts.setdefault(key, Counts())
        if context.sink is not None:
            self._loops[key] = asyncio.create_task(self._follow(_Source(item=item, sink=context.sink, counts=counts)))

    def delete(self, namespace: str, name: str) -> None:
        """Send no more events for a source. Those that are being sent are not lost."""
        self._end((namespace, name))
        self._counts.pop((namespace, name), None)

    async def close(self) -> None:
        """End all schedules, and wait for a while for the events that are being sent."""
        for key in list(self._loops):
            self._end(key)
        sending = {task for tasks in self._sending.values() for task in tasks}
        if sending:
            _, late = await asyncio.wait(sending, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def counts(self) -> dict[Key, Counts]:
        """The counts by namespace and name."""
        return dict(self._counts)

    def _end(self, key: Key) -> None:
        task = self._loops.pop(key, None)
        if task:
            task.cancel()

    async def _follow(self, source: _Source) -> None:
        schedule = cron.parse(source.item.spec.schedule, source.item.spec.timezone)
        while due := schedule.next(self._now()):
            source.counts.next = due
            while (wait := (due - self._now()).total_seconds()) > 0:
                await self._sleep(min(wait, _LONGEST_WAIT_SECONDS))
            self._send(source)
        source.counts.next = None
        log.warning("the PingSource %s has a schedule that is never due: %s", source.key[1], source.item.spec.schedule)

    def _send(self, source: _Source) -> None:
        sending = self._sending.setdefault(source.key, set())
        if len(sending) >= _MOST_IN_FLIGHT:
            source.counts.failed += 1
            log.warning("the PingSource %s skips an event: %d are still being sent to %s", source.key[1], len(sending), source.sink)
            return
        task = asyncio.create_task(self._deliver(source, event_of(source.item, self._now())))
        sending.add(task)
        task.add_done_callback(sending.discard)

    async def _deliver(self, source: _Source, event: Event) -> None:
        failure = await self._attempts(source, event)
        if failure is None:
            source.counts.sent += 1
            return
        source.counts.failed += 1
        log.warning("an event of the PingSource %s is lost: %s", source.key[1], failure)

    async def _attempts(self, source: _Source, event: Event) -> str | None:
        """Send an event until it is accepted, refused, or out of retries. Return the failure, or None."""
        try:
            check(event.attributes)
            sent = http.encode([event], Mode.BINARY)
        except TidegateError as error:
            return str(error)
        message = Message({**sent.headers, "kn-namespace": source.key[0]}, sent.body)
        failure, again = await self._attempt(source.sink, message)
        for retry in range(1, _RETRIES + 1):
            if not again:
                break
            await self._sleep(_FIRST_WAIT_SECONDS * 2.0**retry)
            failure, again = await self._attempt(source.sink, message)
        return failure

    async def _attempt(self, sink: str, message: Message) -> tuple[str | None, bool]:
        """Send an event once. Return the failure, if it is one, and whether to send it again."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                answer = await self._post(sink, message)
        except PostFailed as error:
            return f"{sink} cannot be reached: {error}", True
        except TimeoutError:
            return f"{sink} did not answer within {_ATTEMPT_SECONDS:g} s", False
        if 200 <= answer.status < 300:
            return None, False
        return f"{sink} answered {answer.status}", answer.status in _RETRIED


def event_of(item: PingSource, time: datetime) -> Event:
    """Return the event of a source that is due at a time, with a new id."""
    spec, namespace = item.spec, item.metadata.namespace or DEFAULT_NAMESPACE
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": str(uuid.uuid4()),
        "source": f"/apis/v1/namespaces/{namespace}/pingsources/{item.metadata.name}",
        "type": KNATIVE_PING,
        "time": time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    data = base64.b64decode(spec.data_base64) if spec.data_base64 else spec.data.encode() or None
    if data is not None and spec.content_type:
        attributes["datacontenttype"] = spec.content_type
    overrides = spec.ce_overrides.extensions if spec.ce_overrides else {}
    return Event({**attributes, **overrides}, data)
