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
from eventing.codecs.http import Mode
from eventing.event import Event
from eventing.label import Label
from functions.rollout import announcements
from functions.rollout.service import rollout_of
from functions.rollout.settings import Settings
from functions.rollout.state import Phase, State
from tests.functions.rollout.conftest import Api, Receiver, Running
from tests.functions.rollout.services import Object, outcome, scored, with_rollout

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


async def test_labels_after_a_restart_roll_a_wrong_canary_back(api: Api, sink: Receiver, start: Callable[[], Awaitable[Running]]) -> None:
    """Late, twice, never, by each name of a prediction, and together with forged ones."""
    now = time.time()
    item = api.put(with_rollout(now=now))
    names = [f"p{number}" for number in range(200)]
    wrong = set(names[::2])  # the canary is sure of the opposite
    scores = {name: 0.1 if name in wrong else 0.9 for name in names}
    running = await start()
    early = Label(model="flights", value=True, prediction=names[1])
    assert await running.post(early.to_event()) == 204
    assert await running.post(scored(item, 1, scores, wrong, started=now).to_event()) == 204
    assert state_of(api.service()).correctness.predictions.waiting == 199
    await running.kill()

    running = await start()
    labels = [Label(model="flights", value=1, prediction=name) for name in names[:4]]
    labels += [Label(model="flights", value=1, key=name) for name in names[2:8]]
    labels += [Label(model="flights", value=1, prediction="another"), Label(model="flights", value=0.3, prediction=names[40])]
    assert await running.post(*(label.to_event() for label in labels), mode=Mode.BATCH) == 204
    assert await running.post(labels[0].to_event()) == 204
    state = state_of(api.service())
    predictions, loss = state.correctness.predictions, state.correctness.loss
    assert (loss.canary.keys, loss.rest.keys, predictions.waiting) == (4, 4, 192)
    assert (predictions.repeated, predictions.unmatched, predictions.incomparable) == (1 + 2 + 1, 1, 1)
    assert (loss.canary.wrong, loss.rest.wrong) == (4, 0)
    forged = early.to_event()
    assert await running.post(Event(forged.attributes, {"model": "flights", "value": "x", "prediction": names[30]})) == 400
    assert await running.post(Event(forged.attributes, {"model": "../../secrets", "value": 1, "prediction": "a"})) == 204

    rest = [Label(model="flights", value=1, prediction=name).to_event() for name in names[8:150]]
    assert await running.post(*rest, mode=Mode.BATCH) == 204
    state = state_of(api.service())
    assert (state.phase, state.decisions[-1].metric) == (Phase.ROLLED_BACK, "correctness")
    await sink.has(1)
    (reported,) = sink.events
    assert (reported.type, reported.value()["metric"]) == ("dev.tidegate.rollout.rolledback", "correctness")
    assert "its predictions come true less often: log loss 2.303 with 100.0% wrong in " in reported.value()["sentence"]
    assert await running.post(rest[0]) == 204, "a rollout that is over takes no labels"
    assert state_of(api.service()) == state


def test_settings_name_the_variable() -> None:
    with pytest.raises(InvalidSetting, match="K_SINK"):
        Settings.from_env({"K_SINK": "ftp://a"})
    assert Settings.from_env({"K_SINK": "http://broker"}).sink == "http://broker"
