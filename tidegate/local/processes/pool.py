"""Replicas of a revision or a Deployment, kept at a desired number and restarted with a back-off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tidegate.local.errors import StartFailed
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes.backoff import Backoff
from tidegate.local.processes.probe import Readiness, is_refused
from tidegate.local.processes.process import Exit, Process
from tidegate.local.processes.replica import Replica, State, free_port, wait_until_serving

log = logging.getLogger("tidegate.local")

# One failed start may be chance; from the second on it is reported as a problem.
_REPORTED_FAILURES = 2
_ENDED_KEPT = 1000


@dataclass(slots=True)
class Counts:
    """Numbers of replicas that were started, were stopped on purpose, and exited by themselves."""

    starts: int = 0
    stops: int = 0
    crashes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaTemplate:
    """The way to make a replica: `start(number, port)` spawns it, `readiness(port)` is its check (None: ready at once).

    `grace` is the time between SIGTERM and SIGKILL, in seconds.
    """

    name: str
    start: Callable[[int, int], Process]
    readiness: Callable[[int], Readiness | None]
    grace: float


def _noop() -> None:
    """Ignore a notification."""


class Pool:
    """A pool of replicas. `on_change` is called after a replica became ready or exited, and when `problem` changed."""

    def __init__(self, template: ReplicaTemplate, on_change: Callable[[], None] = _noop) -> None:
        self.decision = Decision(0, "no request yet")
        self.counts = Counts()
        self.replicas: list[Replica] = []
        self.ended: deque[Replica] = deque(maxlen=_ENDED_KEPT)
        self.problem: str | None = None
        self._template = template
        self._on_change = on_change
        self._backoff = Backoff()
        self._not_before = 0.0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._checked: set[Replica] = set()

    @property
    def live(self) -> list[Replica]:
        """Replicas that are ready or starting."""
        return [replica for replica in self.replicas if replica.state in (State.STARTING, State.READY)]

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.state is State.READY]

    @property
    def pause(self) -> float:
        """Seconds until the next start after a failure."""
        return max(0.0, self._not_before - time.monotonic())

    def scale(self, decision: Decision) -> None:
        """Start or stop replicas until their number is the desired one."""
        self.decision = decision
        self._adjust(decision.reason)

    def replace(self, reason: str) -> None:
        """Start new replicas for those that run, which are stopped after their last request."""
        for replica in self.live:
            self._drain(replica)
        self._adjust(reason)

    def mark_lost(self, replica: Replica) -> None:
        """Send no more requests to a replica that refuses connections. It is stopped after its last request."""
        if replica.state is State.READY:
            replica.state = State.LOST
            self.request_finished(replica)

    def check(self, replica: Replica) -> None:
        """Find out whether a replica still accepts connections: one that others stop finishes its requests.

        Otherwise requests would be sent to it over connections that it is about to close.
        """
        if replica.state is State.READY and replica not in self._checked:
            self._checked.add(replica)
            self._create_task(self._check(replica))

    def request_finished(self, replica: Replica) -> None:
        """Stop a draining replica, or a lost one, if this was its last request."""
        if replica.in_flight == 0 and replica.state is State.DRAINING:
            self._stop(replica)
        if replica.in_flight == 0 and replica.state is State.LOST:  # it may be stopping already, with work to finish
            self._create_task(self._terminate(replica))

    async def close(self, reason: str) -> None:
        """Stop every replica after its last request."""
        self._closing = True
        self.scale(Decision(0, reason))
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """Kill every process at once."""
        self._closing = True
        for replica in self.replicas:
            replica.state = State.STOPPED
            replica.process.kill()

    def sample_memory(self) -> None:
        """Update the peak memory of every process."""
        for replica in self.replicas:
            replica.process.peak_rss_mib()

    def _adjust(self, reason: str) -> None:
        while len(self.live) < self.decision.desired and not self._closing and time.monotonic() >= self._not_before:
            self._start(reason)
        surplus = max(0, len(self.live) - self.decision.desired)
        for replica in sorted(self.live, key=_usefulness)[:surplus]:
            self._drain(replica)

    def _start(self, reason: str) -> None:
        number = next(n for n in range(1, len(self.replicas) + 2) if all(r.number != n for r in self.replicas))
        port = free_port()
        try:
            process = self._template.start(number, port)
        except StartFailed as error:
            self._record_failed_start(error, 0.0)
            self._on_change()
            return
        self.counts.starts += 1
        replica = Replica(number=number, port=port, reason=reason, process=process)
        self.replicas.append(replica)
        self._create_task(self._supervise(replica))

    async def _supervise(self, replica: Replica) -> None:
        try:
            await wait_until_serving(replica, self._template.readiness(replica.port))
        except StartFailed as error:
            replica.process.kill()
            await replica.process.exited
            self._remove(replica)
            if replica.state is State.STARTING:
                self._record_failed_start(error, replica.age_ms() / 1000)
        else:
            self._serve(replica)
            exit_ = await replica.process.exited
            self._remove(replica)
            if replica.state is not State.STOPPED:
                self._record_crash(replica, exit_)
        self._on_change()

    def _serve(self, replica: Replica) -> None:
        replica.ready_ms = replica.age_ms()
        if replica.state is not State.STARTING:
            return
        replica.state = State.READY
        log.info("%s replica %d started in %.0f ms: %s", self._template.name, replica.number, replica.ready_ms, replica.reason)
        self.problem = None
        self._on_change()

    def _remove(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self.ended.append(replica)

    def _record_crash(self, replica: Replica, exit_: Exit) -> None:
        last = f" ({replica.process.last_line()})" if exit_.code > 0 else ""
        self._back_off(f"{self._template.name} replica {replica.number} {exit_}{last}", replica.age_ms() / 1000, was_ready=True)

    def _record_failed_start(self, error: StartFailed, ran_seconds: float) -> None:
        cause = str(error).removesuffix(".")
        self._back_off(cause, ran_seconds, was_ready=False)
        if self._backoff.failures >= _REPORTED_FAILURES and not self.ready:
            self.problem = f"{self._template.name} cannot be started: {cause}"

    def _back_off(self, cause: str, ran_seconds: float, *, was_ready: bool) -> None:
        self.counts.crashes += 1
        pause = self._backoff.record_failure(ran_seconds, was_ready=was_ready)
        self._not_before = time.monotonic() + pause
        log.warning("%s; %s", cause, "tidegate is stopping" if self._closing else f"restarting in {pause:g} s")
        # A little later than the pause, so that it has also passed by the monotonic clock.
        asyncio.get_running_loop().call_later(pause + 0.001, self._adjust, "the previous process exited by itself")

    async def _check(self, replica: Replica) -> None:
        if await is_refused(replica.port):
            self.mark_lost(replica)
        self._checked.discard(replica)

    def _drain(self, replica: Replica) -> None:
        if replica.in_flight == 0:
            self._stop(replica)
        else:
            replica.state = State.DRAINING

    def _stop(self, replica: Replica) -> None:
        replica.process.peak_rss_mib()
        replica.state = State.STOPPED
        self.counts.stops += 1
        log.info("%s replica %d stopped: %s", self._template.name, replica.number, self.decision.reason)
        self._create_task(self._terminate(replica))

    async def _terminate(self, replica: Replica) -> None:
        await replica.process.stop(self._template.grace)

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _usefulness(replica: Replica) -> tuple[bool, int, int]:
    """A sort key of replicas to stop: first those that are not ready, then idle ones, then the newest."""
    return replica.state is State.READY, replica.in_flight, -replica.number
