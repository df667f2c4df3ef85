"""The replicas of a revision or a deployment: as many as are wanted, started again with a pause when they end by themselves."""

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
from tidegate.local.processes.probe import Readiness
from tidegate.local.processes.process import Exit, Process
from tidegate.local.processes.replica import Replica, State, free_port, until_serving

log = logging.getLogger("tidegate.local")

# One failed start may be bad luck; from the second on it is a problem that people are told.
_FAILURES_TOLD = 2
_ENDED_KEPT = 1000


@dataclass(slots=True)
class Counts:
    starts: int = 0
    stops: int = 0
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a replica: `start(number, port)` spawns it, `readiness(port)` says when it serves (None: at once).

    `grace` is how many seconds it has between SIGTERM and SIGKILL.
    """

    name: str
    start: Callable[[int, int], Process]
    readiness: Callable[[int], Readiness | None]
    grace: float


class Pool:
    """`on_change` is called after a replica became ready or ended, or when `problem` changed."""

    def __init__(self, recipe: Recipe, on_change: Callable[[], None]) -> None:
        self.decision = Decision(0, "nothing has asked for it yet")
        self.counts = Counts()
        self.replicas: list[Replica] = []
        self.ended: deque[Replica] = deque(maxlen=_ENDED_KEPT)
        self.problem: str | None = None
        self._recipe = recipe
        self._on_change = on_change
        self._backoff = Backoff()
        self._not_before = 0.0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> list[Replica]:
        """Those that serve, or will."""
        return [replica for replica in self.replicas if replica.state in (State.STARTING, State.READY)]

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.state is State.READY]

    @property
    def pause(self) -> float:
        """Seconds until the next start is tried after a failure."""
        return max(0.0, self._not_before - time.monotonic())

    def scale(self, decision: Decision) -> None:
        self.decision = decision
        self._adjust(decision.reason)

    def lost(self, replica: Replica) -> None:
        """Nothing listens at its port: it gets no more requests, and its process is ended if it does not end by itself."""
        if replica.state is State.READY:
            replica.state = State.LOST

    def released(self, replica: Replica) -> None:
        """A request has left it: it may have been the last one."""
        if replica.in_flight == 0 and replica.state is State.DRAINING:
            self._stop(replica)
        if replica.in_flight == 0 and replica.state is State.LOST:
            replica.process.kill()

    async def close(self, reason: str) -> None:
        """Stops every replica after its last request."""
        self._closing = True
        self.scale(Decision(0, reason))
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        self._closing = True
        for replica in self.replicas:
            replica.state = State.STOPPED
            replica.process.kill()

    def sample_memory(self) -> None:
        for replica in self.replicas:
            replica.process.peak_rss_mib()

    def _adjust(self, reason: str) -> None:
        while len(self.live) < self.decision.desired and not self._closing and time.monotonic() >= self._not_before:
            self._start(reason)
        surplus = max(0, len(self.live) - self.decision.desired)
        for replica in sorted(self.live, key=_least_useful)[:surplus]:
            self._drain(replica)

    def _start(self, reason: str) -> None:
        number = next(n for n in range(1, len(self.replicas) + 2) if all(r.number != n for r in self.replicas))
        port = free_port()
        try:
            process = self._recipe.start(number, port)
        except StartFailed as error:
            self._failed(str(error), 0.0)
            self._on_change()
            return
        self.counts.starts += 1
        replica = Replica(number, port, reason, process)
        self.replicas.append(replica)
        self._spawn(self._supervise(replica))

    async def _supervise(self, replica: Replica) -> None:
        try:
            await until_serving(replica, self._recipe.readiness(replica.port))
        except StartFailed as error:
            replica.process.kill()
            await replica.process.exited
            self._leave(replica)
            if replica.state is State.STARTING:
                self._failed(str(error), replica.age_ms() / 1000)
        else:
            self._serve(replica)
            exit_ = await replica.process.exited
            self._leave(replica)
            if replica.state is not State.STOPPED:
                self._crashed(replica, exit_)
        self._on_change()

    def _serve(self, replica: Replica) -> None:
        replica.ready_ms = replica.age_ms()
        if replica.state is not State.STARTING:
            return
        replica.state = State.READY
        log.info("%s replica %d started in %.0f ms: %s", self._recipe.name, replica.number, replica.ready_ms, replica.reason)
        self.problem = None
        self._on_change()

    def _leave(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self.ended.append(replica)

    def _crashed(self, replica: Replica, exit_: Exit) -> None:
        last = f" ({replica.process.last_line()})" if exit_.code > 0 else ""
        self._wait(f"{self._recipe.name} replica {replica.number} {exit_}{last}", replica.age_ms() / 1000, was_ready=True)

    def _failed(self, message: str, lived: float) -> None:
        self._wait(message, lived, was_ready=False)
        if self._backoff.failures >= _FAILURES_TOLD and not self.ready:
            self.problem = f"{self._recipe.name} cannot be started: {message}"

    def _wait(self, what: str, lived: float, *, was_ready: bool) -> None:
        self.counts.crashes += 1
        pause = self._backoff.failed(lived, was_ready=was_ready)
        self._not_before = time.monotonic() + pause
        log.warning("%s; %s", what, "tidegate is stopping" if self._closing else f"restarting in {pause:g} s")
        # A little later than the pause, so that it is over for the clock as well.
        asyncio.get_running_loop().call_later(pause + 0.001, self._adjust, "it had ended by itself")

    def _drain(self, replica: Replica) -> None:
        if replica.in_flight == 0:
            self._stop(replica)
        else:
            replica.state = State.DRAINING

    def _stop(self, replica: Replica) -> None:
        replica.process.peak_rss_mib()
        replica.state = State.STOPPED
        self.counts.stops += 1
        log.info("%s replica %d stopped: %s", self._recipe.name, replica.number, self.decision.reason)
        self._spawn(self._terminate(replica))

    async def _terminate(self, replica: Replica) -> None:
        await replica.process.stop(self._recipe.grace)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _least_useful(replica: Replica) -> tuple[bool, int, int]:
    """Those that are not ready yet go first, then the idle ones, then the youngest."""
    return replica.state is State.READY, replica.in_flight, -replica.number
