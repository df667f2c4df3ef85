"""PingSources: the events of a schedule, in simulated time and by the real clock, at real HTTP servers."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventing.codecs.http import Message
from tests.tidegate.local.eventing.harness import Sink
from tidegate.local.eventing.delivery.transport import Answer, HttpPost, PostFailed
from tidegate.local.eventing.runner import Resolved
from tidegate.local.eventing.sources.ping import Pings, event_of
from tidegate.local.objects.eventing import PingSource
from tidegate.local.objects.validation import parse

Start = Callable[..., Awaitable[Sink]]

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
EVERY_SECOND = "* * * * * *"


def source(schedule: str = EVERY_SECOND, **spec: Any) -> PingSource:
    item = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "tick", "namespace": "default"}}
    return parse(PingSource, {**item, "spec": {"schedule": schedule, "sink": {"uri": "http://unused"}, **spec}})


class Clock:
    """A clock that each wait sets forward at once."""

    def __init__(self) -> None:
        self.now = START
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Receiver:
    """A sink in this process, which answers by a list and then 202."""

    def __init__(self, *answers: int | None, stop_after: int = 3) -> None:
        self.attempts: list[Message] = []
        self.full = asyncio.Event()
        self._answers = list(answers)
        self._stop_after = stop_after

    async def __call__(self, url: str, message: Message) -> Answer:
        if not self.full.is_set():
            self.attempts.append(message)
        if len(self.attempts) >= self._stop_after:
            self.full.set()
        status = self._answers.pop(0) if self._answers else 202
        if status is None:
            raise PostFailed("connection refused")
        return Answer(status=status, headers={}, body=b"")

    async def times(self) -> list[datetime]:
        """The times of the events, when there are enough."""
        async with asyncio.timeout(20):
            await self.full.wait()
        return [datetime.fromisoformat(message.headers["ce-time"]) for message in self.attempts]


async def test_events_are_sent_at_the_times_of_the_schedule_in_its_time_zone() -> None:
    clock = Clock()
    receiver = Receiver()
    pings = Pings(receiver, now=lambda: clock.now, sleep=clock.sleep)
    # The night in which Berlin's clocks go forward.
    pings.apply(source("30 4 * * *", timezone="Europe/Berlin"), Resolved(sink="http://sink"))
    times = await receiver.times()
    await pings.close()
    assert times == [datetime(2026, 3, day, 2, 30, tzinfo=UTC) for day in (29, 30, 31)]
    assert max(clock.waits) <= 30


async def test_an_event_is_sent_by_the_real_clock(sink: Start, client: aiohttp.ClientSession) -> None:
    found = await sink()
    pings = Pings(HttpPost(client))
    before = datetime.now(UTC)
    overrides = {"extensions": {"team": "flights"}}
    spec: dict[str, Any] = {"data": '{"n": 1}', "contentType": "application/json", "ceOverrides": overrides}
    pings.apply(source(**spec), Resolved(sink=found.url))
    first, second = (await found.wait(2))[:2]
    await pings.close()
    assert (first.type, first.source) == ("dev.knative.sources.ping", "/apis/v1/namespaces/default/pingsources/tick")
    assert first.attributes["team"] == "flights"
    assert first.value() == {"n": 1}
    assert uuid.UUID(first.id) != uuid.UUID(second.id)
    assert before < datetime.fromisoformat(str(first.attributes["time"])) <= datetime.now(UTC)
    assert found.headers[0]["kn-namespace"] == "default"
    assert pings.counts()["default", "tick"].sent >= 2


async def test_a_source_without_data_sends_none(sink: Start, client: aiohttp.ClientSession) -> None:
    found = await sink()
    pings = Pings(HttpPost(client))
    pings.apply(source(), Resolved(sink=found.url))
    (event, *_) = await found.wait(1)
    await pings.close()
    assert event.data is None
    assert "datacontenttype" not in event.attributes


def test_binary_data_is_decoded() -> None:
    event = event_of(source(dataBase64=base64.b64encode(b"\x00\xff").decode(), contentType="application/x-thing"), START)
    assert (event.data, event.get("datacontenttype"), event.get("time")) == (
        b"\x00\xff",
        "application/x-thing",
        "2026-03-28T12:00:00.000000Z",
    )


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [([503, None, 429, 202], 4), ([400, 202], 2), ([301, 202], 2), ([None] * 6, 7)],
    ids=["retried", "refused", "redirected", "given-up"],
)
async def test_what_may_succeed_later_is_retried_with_pauses_that_double(answers: list[int | None], attempts: int) -> None:
    clock = Clock()
    receiver = Receiver(*answers, stop_after=attempts)
    pings = Pings(receiver, now=lambda: clock.now, sleep=clock.sleep)
    pings.apply(source("0 * * * *"), Resolved(sink="http://sink"))
    await receiver.times()
    await pings.close()
    ids = [message.headers["ce-id"] for message in receiver.attempts]
    retries = 3 if answers[0] == 503 else 5 if answers[0] is None else 0
    assert len(set(ids[: retries + 1])) == 1
    assert clock.waits.count(0.1) == (1 if retries else 0)
    if retries == 5:
        assert ids[6] != ids[0]
        assert [wait for wait in clock.waits if wait in (0.1, 0.2, 0.4, 0.8, 1.6)] == [0.1, 0.2, 0.4, 0.8, 1.6]


async def test_a_changed_schedule_replaces_the_old_one() -> None:
    clock = Clock()
    receiver = Receiver()
    pings = Pings(receiver, now=lambda: clock.now, sleep=clock.sleep)
    pings.apply(source("* * * * *"), Resolved(sink="http://sink"))
    pings.apply(source("0 0 * * *"), Resolved(sink="http://sink"))
    times = await receiver.times()
    await pings.close()
    assert {(time.hour, time.minute) for time in times} == {(0, 0)}


async def test_a_source_without_a_sink_waits_for_one(sink: Start, client: aiohttp.ClientSession) -> None:
    found = await sink()
    pings = Pings(HttpPost(client))
    pings.apply(source(), Resolved(sink=None))
    assert pings.counts()["default", "tick"].next is None
    pings.apply(source(), Resolved(sink=found.url))
    await found.wait(1)
    pings.delete("default", "tick")
    assert pings.counts() == {}
    await pings.close()


async def test_a_schedule_that_is_never_due_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    pings = Pings(Receiver(), now=lambda: clock.now, sleep=clock.sleep)
    pings.apply(source("0 0 30 2 *"), Resolved(sink="http://sink"))
    async with asyncio.timeout(20):
        while "is never due" not in caplog.text:  # noqa: ASYNC110 a log line sends no event
            await asyncio.sleep(0.01)
    await pings.close()


async def test_a_sink_that_hangs_does_not_hold_back_the_next_events(sink: Start, client: aiohttp.ClientSession) -> None:
    go = asyncio.Event()

    async def hang(_: object) -> web.Response:
        await go.wait()
        return web.Response(status=202)

    found = await sink(hang)
    pings = Pings(HttpPost(client))
    pings.apply(source(), Resolved(sink=found.url))
    await found.wait(2)
    assert found.in_flight == 2
    go.set()
    await pings.close()
    assert pings.counts()["default", "tick"].sent >= 2
