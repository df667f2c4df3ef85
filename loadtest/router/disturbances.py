"""What happens to a router and its models while requests arrive: releases, and processes that are replaced or killed.

Every change is one that a person makes: by the Kubernetes API, by `tidegate rollout`, or by a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from pathlib import Path

from loadtest.router.installation import MODEL, ROUTER, Installation
from loadtest.router.traffic import Traffic

WEIGHTS, DEPLOYED, PROMOTED, ROLLED_BACK = "weights changed", "revision deployed", "promoted", "rolled back"
STARTED, BY_COMMAND, ABORTED = "`tidegate rollout start`", "`tidegate rollout promote`", "`tidegate rollout abort`"
NEW_ROUTER, BURST = "revision of the router deployed", "burst of requests, with more replicas"
TERMINATED_ROUTER, TERMINATED_FUNCTION = "SIGTERM of a router's replica", "SIGTERM of a function's replica"
KILLED_ROUTER, KILLED_FUNCTION = "SIGKILL of a router's replica", "SIGKILL of a function's replica"

# The replicas of each that always run (installation.py).
_LEAST = {ROUTER: 2, MODEL: 1}
_BURST_SECONDS, _BURST_FACTOR = 1.0, 3.0
_VERSIONS = ("v1", "v2")


class Releases:
    """One release of the model after the other: deployed, given weights, and then promoted or rolled back."""

    def __init__(self, place: Installation, models: Path, chance: random.Random, pause: float) -> None:
        self.counts: Counter[str] = Counter()
        self._place = place
        self._models = models
        self._chance = chance
        self._pause = pause
        self._stable = ""
        self._number = 0

    async def begin(self) -> None:
        """Pin the traffic to the revision that has it, so that a new one gets none."""
        self._stable = (await self._place.service(MODEL))["status"]["latestReadyRevisionName"]
        await self._place.split({"stable": (self._stable, 100)})

    async def release(self) -> None:
        """Make one release, by the API or by the command."""
        self._number += 1
        canary = await self._deploy()
        by_command = self._number % 2 == 0
        if by_command:
            await self._place.rollout("start", MODEL, "--steps", f"{self._percent()},100")
            self.counts[STARTED] += 1
            await self._wait()
        for _ in range(self._chance.randint(1, 3)):
            percent = self._percent()
            await self._place.split({"stable": (self._stable, 100 - percent), "canary": (canary, percent)})
            self.counts[WEIGHTS] += 1
            await self._wait()
        promoted = self._number % 4 < 2
        await (self._end_by_command(promoted) if by_command else self._end(canary, promoted))
        self._stable = canary if promoted else self._stable
        await self._wait()

    async def _deploy(self) -> str:
        model = self._models / _VERSIONS[self._number % 2]
        canary = await self._place.deploy(MODEL, TIDEGATE_MODEL=str(model.resolve()), RELEASE=str(self._number))
        self.counts[DEPLOYED] += 1
        await self._wait()
        return canary

    async def _end(self, canary: str, promoted: bool) -> None:
        await self._place.split({"stable": (canary if promoted else self._stable, 100)})
        self.counts[PROMOTED if promoted else ROLLED_BACK] += 1

    async def _end_by_command(self, promoted: bool) -> None:
        await self._place.rollout("promote" if promoted else "abort", MODEL)
        self.counts[BY_COMMAND if promoted else ABORTED] += 1

    def _percent(self) -> int:
        return self._chance.randint(1, 99)

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, 2 * self._pause))


class Replacements:
    """Processes of the router and the model that are replaced: by a new revision, by the autoscaler, and by signals."""

    def __init__(self, place: Installation, traffic: Traffic, chance: random.Random, rate: float) -> None:
        self.counts: Counter[str] = Counter()
        self._place = place
        self._traffic = traffic
        self._chance = chance
        self._rate = rate
        self._number = 0
        self.graceful: Sequence[Callable[[], Awaitable[None]]] = (
            self._deploy_router,
            self._burst,
            lambda: self.signal(TERMINATED_ROUTER, ROUTER, signal.SIGTERM),
            lambda: self.signal(TERMINATED_FUNCTION, MODEL, signal.SIGTERM),
        )

    async def replace(self) -> None:
        """Replace processes in one of the ways in which no request may fail, each as often as the others."""
        ways = self.graceful
        await ways[self._number % len(ways)]()
        self._number += 1

    async def signal(self, name: str, service: str, number: signal.Signals) -> None:
        """Send a signal to a replica that takes requests, and wait until it is replaced. Raises Refused."""
        replica = self._chance.choice(await self._place.replicas_of(service, _LEAST[service]))
        with contextlib.suppress(ProcessLookupError):
            os.kill(replica.pid, number)
            self.counts[name] += 1
        await self._gone(service, replica.pid)
        await self._place.replicas_of(service, _LEAST[service])

    async def _deploy_router(self) -> None:
        await self._place.deploy(ROUTER, RELEASE=str(self._number))
        self.counts[NEW_ROUTER] += 1
        await self._place.replicas_of(ROUTER, _LEAST[ROUTER])

    async def _burst(self) -> None:
        """Send more requests than the replicas are for, so that more are started, and stopped afterwards."""
        rate = self._rate * _BURST_FACTOR
        await self._traffic.send(ceil(_BURST_SECONDS * rate), rate)
        self.counts[BURST] += 1

    async def _gone(self, service: str, pid: int) -> None:
        while any(replica.pid == pid for replica in await self._place.replicas(service)):  # noqa: ASYNC110 no event says so
            await asyncio.sleep(0.05)


async def repeated(work: Callable[[], Awaitable[None]], ending: asyncio.Event, chance: random.Random, *, pause: float, least: int) -> None:
    """Do something again and again, with random pauses, until it is to end and was done often enough."""
    done = 0
    while done < least or not ending.is_set():
        await asyncio.sleep(chance.uniform(0, 2 * pause))
        await work()
        done += 1
