"""The faults of a plan, done to an installation and undone again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from loadtest.chaos import reading
from loadtest.chaos.apache import Broker
from loadtest.chaos.function import Mode
from loadtest.chaos.history import Cause, Disturbance
from loadtest.chaos.installation import Installation
from loadtest.chaos.plan import Fault, Part, Step
from loadtest.chaos.processes import Process
from loadtest.chaos.proxy import Api, Proxy

_DELAY_SECONDS = 0.3
_ADDED = 2
_STOP_SECONDS = 30.0
# The share of calls that fail: what succeeds meanwhile is finished out of order. Of the mode SOME each batch has a few
# events that fail.
_SHARE, _SHARES = 0.8, {Mode.SLOW: 0.3, Mode.SOME: 1.0}

Action = Callable[[Installation, Step], Awaitable[float | None]]
"""Does a fault and undoes it. Returns when it healed, unless now."""
_Change = Callable[[Proxy], None]


class Faults:
    """Does the steps of a plan, each at its time, and notes what took place."""

    def __init__(self, installation: Installation, note: Callable[[str], None]) -> None:
        self._here = installation
        self._note = note
        # Of one thing, a fault begins when the one before has healed; and one broker at a time is away.
        self._free: dict[tuple[Part, int], asyncio.Lock] = {}
        self.disturbances: list[Disturbance] = []

    async def run(self, plan: Sequence[Step]) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for step in plan:
                await asyncio.sleep(began + step.at - time.monotonic())
                group.create_task(self._do(step))

    async def _do(self, step: Step) -> None:
        target = step.target if step.part is Part.WORKER else 0
        async with self._free.setdefault((step.part, target), asyncio.Lock()):
            self._note(str(step))
            began = time.time()
            healed = await _ACTIONS[step.fault](self._here, step)
            self.disturbances.append(Disturbance(str(step), _CAUSES.get(step.fault, Cause.NONE), began, healed or time.time()))


async def _kill_worker(here: Installation, step: Step) -> float:
    here.workers[step.target].kill()
    killed = time.time()
    await asyncio.sleep(step.seconds)
    here.workers[step.target].start()
    # Until its session ends, the group keeps its partitions for it.
    return max(time.time(), killed + here.parts.session_seconds)


async def _kill_worker_unacknowledged(here: Installation, step: Step) -> float:
    """Kill a worker that has sent records which no broker has received, and may have committed meanwhile."""
    proxies = here.proxies[step.target]
    for proxy in proxies:
        proxy.hold({Api.PRODUCE})
    try:
        await asyncio.sleep(step.seconds / 2)
        here.workers[step.target].kill()
        for proxy in proxies:
            proxy.drop()
    finally:
        for proxy in proxies:
            proxy.heal()
    return await _kill_worker(here, Step(step.at, step.fault, step.target, step.seconds / 2))


async def _stop_worker(here: Installation, step: Step) -> None:
    here.workers[step.target].stop()
    await asyncio.sleep(step.seconds)
    here.workers[step.target].go_on()


async def _restart_worker(here: Installation, step: Step) -> None:
    await here.workers[step.target].terminate(_STOP_SECONDS)
    await asyncio.sleep(step.seconds)
    here.workers[step.target].start()


async def _add_worker(here: Installation, step: Step) -> None:
    joining = here.workers[-1]
    joining.start()
    await asyncio.sleep(step.seconds)
    await joining.terminate(_STOP_SECONDS)


async def _kill(process: Process, step: Step) -> None:
    process.kill()
    await asyncio.sleep(step.seconds)
    process.start()


async def _kill_function(here: Installation, step: Step) -> None:
    await _kill(here.function, step)


async def _kill_router(here: Installation, step: Step) -> None:
    if here.router is not None:
        await _kill(here.router, step)


async def _kill_broker(here: Installation, step: Step) -> None:
    broker = here.brokers[step.target]
    broker.running.kill()
    await _start_later(broker, step)


async def _restart_broker(here: Installation, step: Step) -> None:
    broker = here.brokers[step.target]
    await broker.terminate()
    await _start_later(broker, step)


async def _start_later(broker: Broker, step: Step) -> None:
    await asyncio.sleep(step.seconds)
    await broker.start()


async def _answer(mode: Mode, here: Installation, step: Step) -> None:
    await here.answer(mode, _SHARES.get(mode, _SHARE))
    try:
        await asyncio.sleep(step.seconds)
    finally:
        await here.answer(Mode.RIGHT, 0.0)


async def _add_partitions(here: Installation, step: Step) -> None:
    await asyncio.to_thread(reading.add_partitions, here.servers, here.names.input, _ADDED)


async def _change_network(proxies: Callable[[Installation, int], Sequence[Proxy]], change: _Change, here: Installation, step: Step) -> None:
    found = proxies(here, step.target)
    try:
        for proxy in found:
            change(proxy)
        await asyncio.sleep(step.seconds)
    finally:
        for proxy in found:
            proxy.heal()


def _of_worker(here: Installation, target: int) -> Sequence[Proxy]:
    return here.proxies[target]


def _of_broker(here: Installation, target: int) -> Sequence[Proxy]:
    return [row[target] for row in here.proxies]


def _of_sink(here: Installation, target: int) -> Sequence[Proxy]:
    return [here.sinks[target]]


def _delay(proxy: Proxy) -> None:
    proxy.delay(_DELAY_SECONDS)


def _hold_ends(proxy: Proxy) -> None:
    proxy.hold({Api.END_TXN})


_ACTIONS: dict[Fault, Action] = {
    Fault.WORKER_KILLED: _kill_worker,
    Fault.WORKER_KILLED_UNACKNOWLEDGED: _kill_worker_unacknowledged,
    Fault.WORKER_STOPPED: _stop_worker,
    Fault.WORKER_ISOLATED: partial(_change_network, _of_worker, Proxy.stall),
    Fault.WORKER_STALLED: partial(_change_network, _of_worker, Proxy.stall),
    Fault.WORKER_DROPPED: partial(_change_network, _of_worker, Proxy.drop),
    Fault.WORKER_DELAYED: partial(_change_network, _of_worker, _delay),
    Fault.SINK_STALLED: partial(_change_network, _of_sink, Proxy.stall),
    Fault.SINK_DROPPED: partial(_change_network, _of_sink, Proxy.drop),
    Fault.SINK_DELAYED: partial(_change_network, _of_sink, _delay),
    Fault.WORKER_RESTARTED: _restart_worker,
    Fault.WORKER_ADDED: _add_worker,
    Fault.FUNCTION_KILLED: _kill_function,
    Fault.ROUTER_KILLED: _kill_router,
    Fault.BROKER_RESTARTED: _restart_broker,
    Fault.BROKER_KILLED: _kill_broker,
    Fault.BROKER_STALLED: partial(_change_network, _of_broker, Proxy.stall),
    Fault.BROKER_DROPPED: partial(_change_network, _of_broker, Proxy.drop),
    Fault.ANSWERS_429: partial(_answer, Mode.STATUS_429),
    Fault.ANSWERS_500: partial(_answer, Mode.STATUS_500),
    Fault.ANSWERS_503: partial(_answer, Mode.STATUS_503),
    Fault.ANSWERS_504: partial(_answer, Mode.STATUS_504),
    Fault.ANSWERS_GARBAGE: partial(_answer, Mode.GARBAGE),
    Fault.ANSWERS_HALF: partial(_answer, Mode.HALF),
    Fault.ANSWERS_SHORT: partial(_answer, Mode.SHORT),
    Fault.ANSWERS_SOME: partial(_answer, Mode.SOME),
    Fault.ANSWERS_SLOW: partial(_answer, Mode.SLOW),
    Fault.PARTITIONS_ADDED: _add_partitions,
    Fault.END_OF_TRANSACTION_HELD: partial(_change_network, _of_worker, _hold_ends),
}
_CAUSES = {
    Fault.WORKER_KILLED: Cause.KILL,
    Fault.WORKER_KILLED_UNACKNOWLEDGED: Cause.KILL,
    Fault.WORKER_STOPPED: Cause.ZOMBIE,
    Fault.WORKER_ISOLATED: Cause.ZOMBIE,
    # Shorter than the session, but a heartbeat may have been due long before.
    Fault.WORKER_STALLED: Cause.ZOMBIE,
    Fault.WORKER_DROPPED: Cause.ZOMBIE,
    Fault.WORKER_DELAYED: Cause.ZOMBIE,
    Fault.BROKER_RESTARTED: Cause.BROKER,
    Fault.BROKER_KILLED: Cause.BROKER,
    Fault.BROKER_STALLED: Cause.BROKER,
    Fault.BROKER_DROPPED: Cause.BROKER,
}
