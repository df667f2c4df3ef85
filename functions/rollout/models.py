"""The rollouts of all models: what waits for one model shares a read and a write of its Knative Service."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.delivery import backoff
from eventing.label import Label
from eventing.outcome import Outcome
from functions.rollout.cluster import Cluster, Conflict, NotFound, Refused
from functions.rollout.delivery import Delivery
from functions.rollout.metrics import Metrics, OutcomeResult
from functions.rollout.turn import Turn, needs_turn, turn
from functions.runtime.errors import Overloaded
from functions.runtime.knative.client import ApiError

log = logging.getLogger("tidegate.rollout")

Object = dict[str, Any]
_ATTEMPTS = 6
_MOST_OUTCOMES = 128
"""Outcomes of one turn: some tens of milliseconds of arithmetic."""
_MOST_LABELS = 4_096
"""Labels of one turn: they take less."""
_MOST_MODELS = 1_024
"""Models without a task that are remembered."""
_IDLE_SECONDS = 30.0
"""As long after a look that found no running rollout, labels are dropped without another one.

They could not be joined to anything: that takes outcomes of a rollout first, and outcomes lead to a look.
"""


@dataclass(slots=True)
class _Request:
    """Outcomes and labels that wait for their write; without any, a look at the clock."""

    outcomes: tuple[Outcome, ...]
    labels: tuple[Label, ...]
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Model:
    waiting: list[_Request] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    written: float = 0.0
    """When the last write was, by the monotonic clock."""


@dataclass(slots=True)
class _Found:
    """What has arrived about a model."""

    outcomes: list[Outcome] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


class Models:
    """Applies outcomes and labels. A call returns when what it brought is written, or when there is nothing to write."""

    def __init__(
        self,
        cluster: Cluster,
        delivery: Delivery,
        metrics: Metrics,
        *,
        gather_seconds: float,
        most_waiting: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._delivery = delivery
        self._metrics = metrics
        self._gather_seconds = gather_seconds
        self._most_waiting = most_waiting
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._idle: dict[str, float] = {}  # until when, by the monotonic clock
        self._count = 0
        metrics.waiting(lambda: self._count)

    async def apply(self, outcomes: Iterable[Outcome], labels: Iterable[Label] = ()) -> None:
        """Apply outcomes and labels. Raises ApiError when they are not written, and Overloaded when too many wait.

        A message of any size is taken when there is room at all: one that is larger than the limit would never be.
        """
        by_model: dict[str, _Found] = defaultdict(_Found)
        for outcome in outcomes:
            by_model[outcome.model].outcomes.append(outcome)
        for label in labels:
            if label.model not in by_model and self._is_idle(label.model):
                self._metrics.labels("no-rollout", 1)
            else:
                by_model[label.model].labels.append(label)
        if self._count >= self._most_waiting:
            raise Overloaded(f"{self._count} outcomes and labels wait already", remedy="retry later")
        count = sum(len(found.outcomes) + len(found.labels) for found in by_model.values())
        self._count += count
        try:
            await _all([self._request(name, part) for name, found in by_model.items() for part in _parts(found)])
        finally:
            self._count -= count

    def _is_idle(self, name: str) -> bool:
        return time.monotonic() < self._idle.get(name, 0.0)

    def _set_idle(self, name: str, *, idle: bool) -> None:
        self._idle.pop(name, None)
        if idle:
            if len(self._idle) >= _MOST_MODELS:
                del self._idle[next(iter(self._idle))]
            self._idle[name] = time.monotonic() + _IDLE_SECONDS

    async def look(self) -> None:
        """Take a turn of each running rollout, as time has passed. Raises ApiError."""
        services = await asyncio.to_thread(lambda: list(self._cluster.services()))
        await _all([self._request(item["metadata"]["name"], _Found()) for item in services if needs_turn(item)])

    async def close(self) -> None:
        """Stop. What has not been written is not acknowledged either."""
        tasks = [model.task for model in self._models.values() if model.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _request(self, name: str, found: _Found) -> asyncio.Future[None]:
        model = self._models.setdefault(name, _Model())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        model.waiting.append(_Request(tuple(found.outcomes), tuple(found.labels), done))
        if model.task is None:
            model.task = asyncio.create_task(self._run(name, model))
        return done

    async def _run(self, name: str, model: _Model) -> None:
        """Take turns until nothing waits."""
        requests: list[_Request] = []
        try:
            while model.waiting:
                await asyncio.sleep(model.written + self._gather_seconds - time.monotonic())
                requests = _take(model.waiting)
                if await self._turn_of(name, requests):
                    model.written = time.monotonic()
        finally:
            model.task = None
            for request in (*requests, *model.waiting):  # only if it was cancelled
                request.done.cancel()
            if not model.written or len(self._models) > _MOST_MODELS:
                del self._models[name]

    async def _turn_of(self, name: str, requests: list[_Request]) -> bool:
        """One turn for these requests, and the deliveries that follow. Returns whether there is such a Knative Service."""
        outcomes = [outcome for request in requests for outcome in request.outcomes]
        labels = [label for request in requests for label in request.labels]
        try:
            service, found = await self._write(name, outcomes, labels)
        except Exception as error:
            # A bug fails these requests, which are sent again, and no others.
            if not isinstance(error, ApiError):
                log.exception("%s: the turn failed", name)
            self._metrics.outcomes("failed", len(outcomes))
            self._metrics.labels("failed", len(labels))
            for request in requests:
                _fail(request.done, error if isinstance(error, ApiError) else ApiError("internal error; see the log."))
            return True
        result: OutcomeResult = "no-rollout" if found.patch is None else "applied"
        self._metrics.outcomes(result, len(outcomes) - found.ignored)
        self._metrics.outcomes("ignored", found.ignored)
        self._metrics.labels(result, len(labels))
        self._set_idle(name, idle=found.patch is None)
        for request in requests:
            if not request.done.done():
                request.done.set_result(None)
        if service is not None:
            await self._deliver(service)
        return service is not None

    async def _deliver(self, service: Object) -> None:
        try:
            await self._delivery.deliver(service)
        except Exception:
            # A bug there must not fail the outcomes that wait for the next turn.
            log.exception("%s: decisions were not delivered", service["metadata"]["name"])

    async def _write(self, name: str, outcomes: list[Outcome], labels: list[Label]) -> tuple[Object | None, Turn]:
        """Read, apply and write, again after a conflict. Returns the Service, if it is there, and what was written."""
        for attempt in range(1, _ATTEMPTS + 1):
            now = self._clock()
            try:
                service = await asyncio.to_thread(self._cluster.read, name)
                found = await asyncio.to_thread(turn, service, outcomes, now, labels)
                if found.problem:
                    await self._delivery.warn(service, found.problem, now)
                if found.state is not None:
                    self._metrics.state(found.state)
                return (service if found.patch is None else await self._patch(service, found.patch, now)), found
            except NotFound:
                return None, Turn()
            except Conflict:
                await asyncio.sleep(backoff(attempt, first=0.05, longest=1.0))
        raise Conflict(f"the Knative Service {name} was changed during each of {_ATTEMPTS} attempts to write it.")

    async def _patch(self, service: Object, patch: Mapping[str, Any], now: float) -> Object:
        """Write a Service; returns the new one. A person learns of a write that is refused: without it nothing goes on."""
        try:
            written = await asyncio.to_thread(self._cluster.patch, service["metadata"]["name"], patch)
        except ApiError as error:
            self._metrics.write("conflict" if isinstance(error, Conflict) else "failed")
            if isinstance(error, Refused):
                await self._delivery.warn(service, f"The rollout cannot go on: {error}", now)
            raise
        self._metrics.write("written")
        return written


def _parts(found: _Found) -> Iterator[_Found]:
    """What has arrived, in parts for one turn each."""
    outcomes, labels = found.outcomes, found.labels
    while outcomes or labels:
        yield _Found(outcomes[:_MOST_OUTCOMES], labels[:_MOST_LABELS])
        outcomes, labels = outcomes[_MOST_OUTCOMES:], labels[_MOST_LABELS:]


def _take(waiting: list[_Request]) -> list[_Request]:
    """Take requests with at most _MOST_OUTCOMES outcomes and _MOST_LABELS labels, at least one request."""
    outcomes = labels = taken = 0
    for request in waiting:
        outcomes += len(request.outcomes)
        labels += len(request.labels)
        if taken and (outcomes > _MOST_OUTCOMES or labels > _MOST_LABELS):
            break
        taken += 1
    requests, waiting[:] = waiting[:taken], waiting[taken:]
    return requests


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


async def _all(requests: list[asyncio.Future[None]]) -> None:
    """Wait for all requests; raises the first error when each has ended."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            raise error
