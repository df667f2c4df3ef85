"""A revision at work: holds requests while there is no replica, gives them out, and has as many replicas as its autoscaler wants.

It stands for Knative's activator, queue-proxy and autoscaler together.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidegate.local.controller.autoscaler import Autoscaler, Observation
from tidegate.local.errors import NoReplica, QueueFull
from tidegate.local.objects.resources import Metadata
from tidegate.local.objects.resources import Revision as Manifest
from tidegate.local.objects.rules import scaling_of
from tidegate.local.objects.scaling import Decision, Scaling
from tidegate.local.processes.command import Pod
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.pool import Pool, Recipe
from tidegate.local.processes.probe import readiness
from tidegate.local.processes.process import Process
from tidegate.local.processes.replica import Latencies, LoadMeter, Replica

# As many as Knative's activator holds.
MOST_HELD = 10_000
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed for a revision: its manifest, and how it is scaled."""

    name: str
    service: str
    manifest: Manifest
    scaling: Scaling

    @classmethod
    def of(cls, manifest: Manifest) -> Plan:
        metadata: Metadata = manifest.metadata
        service = metadata.labels["serving.knative.dev/service"]
        return cls(metadata.name or "", service, manifest, scaling_of(metadata.annotations, manifest.spec))

    @property
    def timeout(self) -> float:
        return self.manifest.spec.timeout_seconds


class Revision:
    """`on_change` is called when its replicas or its problem changed."""

    def __init__(self, plan: Plan, launcher: Launcher, on_change: Callable[[], None]) -> None:
        self.plan = plan
        self.latencies = Latencies()
        self.pool = Pool(_recipe(plan, launcher), self._changed)
        self._on_change = on_change
        self._scaling = replace(plan.scaling, min_scale=0)
        self._held: deque[asyncio.Future[Replica]] = deque()
        self._load = LoadMeter()
        self._awake = asyncio.Event()
        self._closing = False
        self._scaler = asyncio.create_task(self._scale())

    @property
    def held(self) -> int:
        return len(self._held)

    @property
    def in_system(self) -> int:
        """Requests that are held or in flight."""
        return self._load.current

    def set_reachable(self, reachable: bool) -> None:
        """A revision that no traffic reaches has no replicas, whatever its min-scale says, as in Knative."""
        lowest = self.plan.scaling.min_scale if reachable else 0
        if lowest != self._scaling.min_scale:
            self._scaling = replace(self._scaling, min_scale=lowest)
            self._awake.set()
            if lowest and len(self.pool.live) < lowest:
                self.pool.scale(Decision(lowest, f"min-scale is {lowest}"))

    async def acquire(self) -> Replica:
        """A replica for one request, to be given back by `release`. Raises QueueFull or NoReplica; waiting is bounded by the caller."""
        self._load.enter()
        try:
            replica = self._free() or await self._hold()
        except BaseException:
            self._load.leave()
            raise
        return replica

    def release(self, replica: Replica) -> None:
        self._load.leave()
        self._give_back(replica)

    async def close(self) -> None:
        """Stops every replica after its last request."""
        self._closing = True
        self._refuse_held(f"{self.plan.name} is stopping; send the request again later.")
        self._scaler.cancel()
        await self.pool.close("tidegate is stopping")

    def kill(self) -> None:
        """Ends every process at once; what was held or in flight is lost."""
        self._closing = True
        self._scaler.cancel()
        self._refuse_held(f"{self.plan.name} was killed.")
        self.pool.kill()

    def _free(self) -> Replica | None:
        """The least loaded replica, with one request more; none when all are at their hard limit."""
        limit = self._scaling.concurrency
        open_ = [replica for replica in self.pool.ready if not limit or replica.in_flight < limit]
        if not open_:
            return None
        replica = min(open_, key=lambda replica: replica.in_flight)
        replica.in_flight += 1
        return replica

    def _give_back(self, replica: Replica) -> None:
        replica.in_flight -= 1
        self.pool.released(replica)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._held and (replica := self._free()):
            self._held.popleft().set_result(replica)

    async def _hold(self) -> Replica:
        self._check_hold()
        waiter: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._held.append(waiter)
        self._awake.set()
        if not self.pool.live:
            self.pool.scale(Decision(self._from_zero(), "a request came"))
        try:
            return await asyncio.shield(waiter)
        except BaseException:
            self._abandon(waiter)
            raise

    def _abandon(self, waiter: asyncio.Future[Replica]) -> None:
        """The caller has gone; a replica that was handed out in the same moment must not be lost."""
        if not waiter.done():
            self._held.remove(waiter)
            waiter.cancel()
        elif waiter.exception() is None:
            self._give_back(waiter.result())

    def _check_hold(self) -> None:
        if self._closing:
            raise NoReplica(f"{self.plan.name} is stopping; send the request again later.")
        if len(self._held) >= MOST_HELD:
            raise QueueFull(f"{self.plan.name} holds {MOST_HELD:,} requests already; send fewer at a time, or raise its max-scale.")
        if self.pool.problem and not self.pool.live and self.pool.pause:
            raise NoReplica(f"{self.pool.problem}; the next start is in {self.pool.pause:.1f} s.")

    def _refuse_held(self, reason: str) -> None:
        while self._held:
            self._held.popleft().set_exception(NoReplica(reason))

    def _changed(self) -> None:
        if self.pool.problem and not self.pool.live:
            self._refuse_held(f"{self.pool.problem}.")
        self._hand_out()
        self._on_change()

    async def _scale(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            self._load.read()
            await self._scale_until_zero(Autoscaler(time.monotonic()))

    async def _scale_until_zero(self, autoscaler: Autoscaler) -> None:
        """A tick costs little, but at zero there are none: an idle machine stays idle."""
        while self._held or self.pool.live or self.pool.decision.desired:
            await asyncio.sleep(TICK_SECONDS)
            now, concurrency, rate = self._load.read()
            self.pool.sample_memory()
            seen = Observation(now, concurrency, rate, self._load.current, len(self.pool.live))
            self.pool.scale(autoscaler.decide(seen, self._scaling))

    def _from_zero(self) -> int:
        scaling = self._scaling
        wanted = max(1, scaling.min_scale, scaling.activation_scale)
        return min(wanted, scaling.max_scale) if scaling.max_scale else wanted


def _recipe(plan: Plan, launcher: Launcher) -> Recipe:
    spec = plan.manifest.spec
    container = spec.containers[0]

    def start(number: int, port: int) -> Process:
        pod = Pod(f"{plan.name}-{number}", plan.manifest.metadata, spec.service_account_name or "default", launcher.config_maps)
        given = {"PORT": str(port), "K_SERVICE": plan.service, "K_CONFIGURATION": plan.service, "K_REVISION": plan.name}
        return launcher.start(container, pod, given)

    return Recipe(plan.name, start, lambda port: readiness(container.readiness_probe, port), plan.timeout)
