"""The process: nothing is lost and nothing counted twice, whenever it is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from common.errors import InvalidSetting
from functions.rollout import announcements
from functions.rollout.service import rollout_of
from functions.rollout.settings import Settings
from functions.rollout.state import Phase, State
from tests.functions.rollout.conftest import Api, Receiver, Running
from tests.functions.rollout.services import Object, outcome, with_rollout

Carry = Callable[[], Awaitable[web.StreamResponse]]


def state_of(item: Object) -> State:
    state = rollout_of(item)
    assert state is not None
    return state


async def test_kills_lose_nothing_and_count_nothing_twice(api: Api, sink: Receiver, start: Callable[[], Awaitable[Running]]) -> None:
    now = time.time()
    item = api.put(with_rollout(now=now))

    async def killed_in_a_patch(event_of: int, *, written: bool) -> None:
        """Kill the process while it waits for the answer to a patch, which was carried out or was not."""
        held = asyncio.Event()

        async def hold(_: web.Request, carry: Carry) -> web.StreamResponse:
            if written:
                await carry()
            held.set()
            await asyncio.Event().wait()
            raise AssertionError

        api.gate = hold
        running = await start()
        sending = asyncio.create_task(running.post(outcome(item, event_of, keys=[event_of], started=now).to_event()))
        await held.wait()
        await running.kill()
        with pytest.raises(aiohttp.ClientError):
            await sending
        api.gate = None

    await killed_in_a_patch(1, written=True)
    assert state_of(api.service()).canary_counts.requests == 1
    await killed_in_a_patch(2, written=False)
    assert state_of(api.service()).canary_counts.requests == 1

    # A Broker that had no answer sends both again; then errors decide, and the process is killed as it reports that.
    sink.gate.clear()
    running = await start()
    for sequence in (1, 2):
        assert await running.post(outcome(item, sequence, keys=[sequence], started=now).to_event()) == 204
    state = state_of(api.service())
    assert (state.canary_counts.requests, sum(state.ignored.values())) == (2, 1)
    failing = outcome(item, 3, keys=range(40), failed=range(40), started=now).to_event()
    assert await running.post(failing) == 204
    assert state_of(api.service()).phase is Phase.ROLLED_BACK
    await sink.has(1)
    await running.kill()
    assert announcements.waiting(api.service())

    sink.gate.set()
    running = await start()
    assert await running.post(failing) == 204
    await sink.has(2)
    first, second = sink.events
    assert first == second
    assert first.type == "dev.tidegate.rollout.rolledback"
    await api.until(lambda: not announcements.waiting(api.service()))
    assert api.reasons == ["RolloutRolledBack"]
    assert state_of(api.service()).canary_counts.requests == 42
    running.process.send_signal(signal.SIGTERM)
    assert await running.process.wait() == 0


def test_settings_name_the_variable() -> None:
    with pytest.raises(InvalidSetting, match="K_SINK"):
        Settings.from_env({"K_SINK": "ftp://a"})
    assert Settings.from_env({"K_SINK": "http://broker"}).sink == "http://broker"
