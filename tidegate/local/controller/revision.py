"""A running revision: holds requests while it has no free replica, distributes them, and scales with its autoscaler.

It combines the tasks of Knative's activator, queue-proxy and autoscaler.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from functions.runtime.knative.objects import SERVICE_LABEL
from tidegate.local.controller.autoscaler import Autoscaler, Observation
from tidegate.local.errors import NoReplica, QueueFull
from tidegate.local.objects.resources import KnativeRevision
from tidegate.local.objects.rules import scaling_of
from tidegate.local.objects.scaling import Decision, Scaling
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, ReplicaTemplate
from tidegate.local.processes.probe import readiness_of
from tidegate.local.processes.process import Process
from tidegate.local.processes.replica import Latencies, LoadMeter, Replica

# The limit of Knative's activator.
MAX_HELD = 10_000
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The constants of a revision: its manifest and its scaling."""

    name: str
    service: str
    manifest: KnativeRevision
    scaling: Scaling

    @classmethod
    def of(cls, manifest: KnativeRevision) -> Plan:
        metadata = manifest.metadata
        return cls(
            name=metadata.name or "",
            service=metadata.labels[SERVICE_LABEL],
            manifest=manifest,
            scaling=scaling_of(metadata.annotations, manifest.spec),
        )

    @property
    def timeout(self) -> float:
        """The time limit of a request in seconds; 0 means no limit."""
        return self.manifest.spec.timeout_seconds


class Revision:
    """The replicas and requests of a revision. `on_change` is called when its replicas or its problem have changed."""

    def __init__(self, plan: Plan, launcher: Launcher, on_change: Callable[[], None]) -> None:
        self.plan = plan
        self.latencies = Latencies()
        self.pool = Pool(_replica_template(plan, launcher), self._on_pool_change)
        self._on_change = on_change
        self._scaling = replace(plan.scaling, min_scale=0)
        self._held: deque[asyncio.Future[Replica]] = deque()
        self._load = LoadMeter()
        self._active = asyncio.Event()
        self._closing = False

    def start(self) -> None:
        """Start to scale with the load."""
        self._scaler = asyncio.create_task(self._scale())

    @property
    def held(self) -> int:
        return len(self._held)

    @property
    def in_system(self) -> int:
        """The number of requests that are held or in flight."""
        return self._load.current

    def set_reachable(self, reachable: bool) -> None:
        """Apply min-scale only while traffic reaches the revision, as in Knative."""
        lowest = self.plan.scaling.min_scale if reachable else 0
        if lowest != self._scaling.min_scale:
            self._scaling = replace(self._scaling, min_scale=lowest)
            self._active.set()
            if lowest and len(self.pool.live) < lowest:
                self.pool.scale(Decision(lowest, f"min-scale is {lowest}"))

    async def acquire(self) -> Replica:
        """Wait for a replica for one request, and return it with `release` afterwards. Raises QueueFull or NoReplica.

        The caller limits the time.
        """
        self._load.enter()
        try:
            replica = self._take_free() or await self._hold()
        except BaseException:
            self._load.leave()
            raise
        return replica

    def release(self, replica: Replica) -> None:
        """End a request that `acquire` began."""
        self._load.leave()
        self._give_back(replica)

    async def close(self) -> None:
        """Stop every replica after its last request."""
        self._closing = True
        self._reject_held(f"{self.plan.name} is stopping", remedy="retry later")
        self._scaler.cancel()
        await self.pool.close("tidegate is stopping")

    def kill(self) -> None:
        """Kill every process at once; requests that are held or in flight fail."""
        self._closing = True
        self._scaler.cancel()
        self._reject_held(f"{self.plan.name} was killed.")
        self.pool.kill()

    def _take_free(self) -> Replica | None:
        """Assign a request to the least loaded replica, unless all are at their hard limit."""
        limit = self._scaling.concurrency
        available = [replica for replica in self.pool.ready if not limit or replica.in_flight < limit]
        if not available:
            return None
        replica = min(available, key=lambda replica: replica.in_flight)
        replica.in_flight += 1
        return replica

    def _give_back(self, replica: Replica) -> None:
        replica.in_flight -= 1
        self.pool.request_finished(replica)
        self._assign_held()

    def _assign_held(self) -> None:
        while self._held and (replica := self._take_free()):
            self._held.popleft().set_result(replica)

    async def _hold(self) -> Replica:
        self._check_hold()
        waiter: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._held.append(waiter)
        self._active.set()
        if not self.pool.live:
            self.pool.scale(Decision(self._initial_scale(), "a request arrived"))
        try:
            return await asyncio.shield(waiter)
        except BaseException:
            self._abandon(waiter)
            raise

    def _abandon(self, waiter: asyncio.Future[Replica]) -> None:
        """Drop a request whose caller has disconnected, and release a replica that was assigned in the meantime."""
        if not waiter.done():
            self._held.remove(waiter)
            waiter.cancel()
        elif waiter.exception() is None:
            self._give_back(waiter.result())

    def _check_hold(self) -> None:
        if self._closing:
            raise NoReplica(f"{self.plan.name} is stopping", remedy="retry later")
        if len(self._held) >= MAX_HELD:
            message = f"{self.plan.name} already holds {MAX_HELD:,} requests"
            raise QueueFull(message, remedy="retry later, or raise its max-scale")
        if self.pool.problem and not self.pool.live and self.pool.pause:
            raise NoReplica(f"{self.pool.problem}; the next start is in {self.pool.pause:.1f} s.")

    def _reject_held(self, message: str, *, remedy: str = "") -> None:
        while self._held:
            self._held.popleft().set_exception(NoReplica(message, remedy=remedy))

    def _on_pool_change(self) -> None:
        if self.pool.problem and not self.pool.live:
            self._reject_held(f"{self.pool.problem}.")
        self._assign_held()
        self._on_change()

    async def _scale(self) -> None:
        while True:
            await self._active.wait()
            self._active.clear()
            self._load.read()
            await self._scale_until_zero(Autoscaler(time.monotonic()))

    async def _scale_until_zero(self, autoscaler: Autoscaler) -> None:
        """Scale with each tick until the revision is at zero, where an idle machine has no ticks."""
        while self._held or self.pool.live or self.pool.decision.desired:
            await asyncio.sleep(TICK_SECONDS)
            now, concurrency, rate = self._load.read()
            self.pool.sample_memory()
            observation = Observation(
                time=now, concurrency=concurrency, rate=rate, in_flight=self._load.current, replicas=len(self.pool.live)
            )
            self.pool.scale(autoscaler.decide(observation, self._scaling))

    def _initial_scale(self) -> int:
        scaling = self._scaling
        wanted = max(1, scaling.min_scale, scaling.activation_scale)
        return min(wanted, scaling.max_scale) if scaling.max_scale else wanted


def _replica_template(plan: Plan, launcher: Launcher) -> ReplicaTemplate:
    spec = plan.manifest.spec
    probe = spec.containers[0].readiness_probe

    def start(number: int, port: int) -> Process:
        variables = {"PORT": str(port), "K_SERVICE": plan.service, "K_CONFIGURATION": plan.service, "K_REVISION": plan.name}
        return launcher.start(spec, name=f"{plan.name}-{number}", metadata=plan.manifest.metadata, variables=variables)

    return ReplicaTemplate(
        name=plan.name,
        start=start,
        readiness=lambda port: readiness_of(probe, port),
        grace=plan.timeout,
    )
