from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.outcome import ArmOutcome, Outcome, from_event
from tests.functions.router.conftest import StartServer


class Sink:
    """A sink that keeps the outcomes it accepts. With a `status` it responds so instead, and accepts nothing."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.status = 0
        self.refused = asyncio.Event()
        self.url = ""
        self._arrived = asyncio.Condition()

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.status:
            self.refused.set()
            return web.Response(status=self.status)
        headers = {name.lower(): value for name, value in request.headers.items()}
        (event,) = http.decode(Message(headers, body), Mode.BINARY)
        self.outcomes.append(from_event(event))
        async with self._arrived:
            self._arrived.notify_all()
        return web.Response(status=202)

    async def until(self, condition: Callable[[list[Outcome]], bool]) -> list[Outcome]:
        """The outcomes, as soon as they meet a condition."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: condition(self.outcomes))
        return self.outcomes

    async def until_requests(self, count: int) -> dict[str, ArmOutcome]:
        """The arms by revision, with the counts of all outcomes, once they have so many requests."""
        await self.until(lambda outcomes: sum(arm.requests + arm.forced for one in outcomes for arm in one.arms) >= count)
        return merged(self.outcomes)


def merged(outcomes: list[Outcome]) -> dict[str, ArmOutcome]:
    """The arms of several outcomes by revision, with their sums."""
    found: dict[str, ArmOutcome] = {}
    for arm in (arm for outcome in outcomes for arm in outcome.arms):
        before = found.get(arm.revision, ArmOutcome(revision=arm.revision, percent=arm.percent))
        keys = before.keys
        keys.merge(arm.keys)
        counts = ("requests", "errors", "rejections", "slow", "cold", "forced")
        kinds = before.bad_keys.keys() | arm.bad_keys.keys()
        found[arm.revision] = ArmOutcome(
            revision=arm.revision,
            percent=arm.percent,
            keys=keys,
            scores=[*before.scores, *arm.scores],
            latencies=[sum(pair) for pair in zip(before.latencies or [0] * 18, arm.latencies, strict=True)],
            bad_keys={kind: [*before.bad_keys.get(kind, ()), *arm.bad_keys.get(kind, ())] for kind in kinds},
            **{name: getattr(before, name) + getattr(arm, name) for name in counts},
        )
    return found


@pytest.fixture
async def sink(start_server: StartServer) -> Sink:
    found = Sink()
    found.url = f"http://127.0.0.1:{await start_server(found.take)}/"
    return found
