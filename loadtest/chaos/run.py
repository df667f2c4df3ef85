"""One run: start, disturb, wait until all is finished, stop, read, judge."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer

from loadtest.chaos import reading
from loadtest.chaos.checker import Rules, Verdict, check
from loadtest.chaos.faults import Faults
from loadtest.chaos.history import Disturbance, History, Topic, Written
from loadtest.chaos.installation import Installation, Parts, installed
from loadtest.chaos.plan import CALM_SECONDS, Setting, Step, draw
from loadtest.chaos.producing import Sending
from loadtest.chaos.progress import Progress, measure
from loadtest.chaos.workload import Workload

Result = TypeVar("Result")

STALLED_SECONDS = 10.0
FEWEST_RESULTS = 100
# Records come until this long after the last fault, so that it can be seen whether all partitions move.
_AFTER_SECONDS = 4.0
_TICK_SECONDS = 0.25
_NOTE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is of: the same seed draws the same records and faults."""

    seed: int
    events: int = 200_000
    faults: int = 30
    keys: int = 5_000
    poison: float = 0.001
    parts: Parts = field(default_factory=Parts)
    calm_seconds: tuple[float, float] = CALM_SECONDS
    patience_seconds: float = 120.0
    """How long after the last fault everything must be finished."""

    def plan(self) -> list[Step]:
        parts = self.parts
        setting = Setting(
            workers=parts.workers,
            brokers=parts.brokers,
            router=parts.router,
            exactly_once=parts.exactly_once,
            session_seconds=parts.session_seconds,
            calm_seconds=self.calm_seconds,
            faults=parts.faults,
        )
        return draw(self.seed, self.faults, setting)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    run: Run
    verdict: Verdict
    progress: Progress
    disturbances: Sequence[Disturbance]
    exits: Sequence[str]
    """Ends of workers that no fault has caused."""
    seconds: float
    aborted: int
    """Results of aborted transactions in the topics, which a reader of committed records does not see."""
    load: float
    """The highest load average of this machine in a minute of the run."""
    waited: float
    """The longest that this process waited for a processor, in seconds: as long may all others have waited."""

    @property
    def problems(self) -> list[str]:
        """Each promise that was not kept, in a sentence."""
        found = [f"{fault}: {count:,}" for fault, count in sorted(self.verdict.faults.items())]
        found += [f"stalled for {heal.seconds:.1f} s after: {heal.after}" for heal in self.progress.stalled(STALLED_SECONDS)]
        if self.progress.fewest is not None and self.progress.fewest < FEWEST_RESULTS:
            found.append(f"only {self.progress.fewest} results in a minute")
        return found


async def run(wanted: Run, folder: Path, note: Callable[[str], None]) -> Outcome:
    """Do a run, with its logs and data in a folder. Raises TidegateError if something else than a worker fails."""
    began = time.monotonic()
    plan = wanted.plan()
    async with installed(wanted.parts, folder) as here:
        note(f"{wanted.parts.brokers} brokers and {wanted.parts.workers} workers are ready")
        load = _Load()
        disturbances = await load.during(_disturb(wanted, plan, here, note))
        await here.stop_workers()
        note("reading all topics")
        history = await asyncio.to_thread(_history, here, disturbances)
        aborted = 0
        if wanted.parts.exactly_once:
            aborted = len(await asyncio.to_thread(partial(_written, here, committed=False))) - len(history.written)
        rules = Rules(duplicates=not wanted.parts.exactly_once, grace_seconds=wanted.parts.session_seconds + STALLED_SECONDS)
        return Outcome(
            run=wanted,
            verdict=check(history, rules),
            progress=measure(history, STALLED_SECONDS),
            disturbances=disturbances,
            exits=here.exits,
            seconds=time.monotonic() - began,
            aborted=aborted,
            load=load.highest,
            waited=load.waited,
        )


class _Load:
    """How busy this machine is while something is awaited: a busy one makes everything slow."""

    def __init__(self) -> None:
        self.highest = 0.0
        self.waited = 0.0

    async def during(self, awaited: Coroutine[Any, Any, Result]) -> Result:
        watching = asyncio.create_task(self._watch())
        try:
            return await awaited
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            self.highest = max(self.highest, os.getloadavg()[0])
            due = time.monotonic() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            self.waited = max(self.waited, time.monotonic() - due)


async def _disturb(wanted: Run, plan: Sequence[Step], here: Installation, note: Callable[[str], None]) -> list[Disturbance]:
    """Send the records while the faults take place, and wait until the group has finished with them."""
    seconds = max(step.until for step in plan) + _AFTER_SECONDS
    workload = Workload(wanted.seed, wanted.events, wanted.keys, wanted.poison)
    sending = Sending(here.servers, here.names.input, workload, wanted.events / seconds)
    faults = Faults(here, note)
    watching = [asyncio.create_task(here.supervise()), asyncio.create_task(_report(sending, wanted.events, note))]
    sending.start()
    try:
        await faults.run(plan)
        while not sending.is_over:  # noqa: ASYNC110 a thread has no event of the loop
            await asyncio.sleep(_TICK_SECONDS)
        sending.check()
        note(f"all {sending.sent:,} records are sent, all faults have healed")
        if not await asyncio.to_thread(_finished, here, wanted.patience_seconds):
            note(f"the group has not finished after {wanted.patience_seconds:g} s")
    finally:
        for task in watching:
            task.cancel()
        await asyncio.to_thread(sending.stop)
    return faults.disturbances


async def _report(sending: Sending, events: int, note: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_NOTE_SECONDS)
        note(f"{sending.sent:,} of {events:,} records are sent")


def _finished(here: Installation, timeout_seconds: float) -> bool:
    """Wait until the group's offsets are the ends of the input; return whether they are."""
    deadline = time.monotonic() + timeout_seconds
    with (
        closing(KafkaAdminClient(bootstrap_servers=here.servers)) as admin,
        closing(KafkaConsumer(bootstrap_servers=here.servers, group_id=None)) as consumer,
    ):
        ends = reading.ends_of(consumer, here.names.input)
        while time.monotonic() < deadline:
            committed = reading.committed_of(admin, here.names.group, here.names.input)
            if all(committed.get(partition, 0) >= end for partition, end in ends.items()):
                return True
            time.sleep(_TICK_SECONDS)
    return False


def _history(here: Installation, disturbances: Sequence[Disturbance]) -> History:
    servers, names = here.servers, here.names
    with (
        closing(KafkaAdminClient(bootstrap_servers=servers)) as admin,
        closing(KafkaConsumer(bootstrap_servers=servers, group_id=None)) as consumer,
    ):
        position = reading.committed_of(admin, names.group, names.input)
        ends = reading.ends_of(consumer, names.input)
    return History(reading.read_sent(servers, names.input), _written(here, committed=True), position, ends, disturbances)


def _written(here: Installation, *, committed: bool) -> list[Written]:
    topics = {Topic.OUTPUT: here.names.output, Topic.DEADLETTER: here.names.deadletter}
    return [
        one
        for kind, topic in topics.items()
        for one in reading.read_written(here.servers, topic, kind, here.names.input, committed=committed)
    ]
