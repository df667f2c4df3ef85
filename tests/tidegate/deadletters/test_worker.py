"""Letters of a real worker on a real broker: listed, replayed, failed again, replayed once by several runs and after a kill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.reply import Problem, failed, reply_id
from functions.stream import startup
from functions.stream.settings import StreamSettings

Call = Callable[..., subprocess.CompletedProcess[str]]
Publish = Callable[[str, list[Message]], None]
Collect = Callable[..., list[Any]]
Serve = Callable[[Any], Awaitable[str]]
Flight = Callable[[int], Message]
Score = Callable[[Event], Event]


class Model:
    """A sink that rejects the events in `broken`, by their ids."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self.broken: set[str] = set()
        self.good: set[str] = set()
        self.scored: Callable[[set[str]], None] = lambda _: None

    async def answer(self, events: list[Event]) -> list[Event]:
        self.good |= {event.id for event in events} - self.broken
        self.scored(self.good)
        problem = Problem(400, "invalid input", "the flight has no distance.")
        return [failed(event, "flights", problem) if event.id in self.broken else self._score(event) for event in events]


@asynccontextmanager
async def working(settings: StreamSettings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await running


@pytest.fixture
async def model(score: Score) -> Model:
    return Model(score)


def ids(records: list[Any]) -> Counter[str]:
    return Counter(dict(record.headers)["ce_causationid"].decode() for record in records)


async def test_letters_are_replayed_once_and_what_fails_again_is_a_new_letter(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    flight: Flight,
    model: Model,
    deadletters: Call,
) -> None:
    settings = replace(settings, sink=await serve(model.answer))
    model.broken = {f"flight-{number}" for number in range(0, 60, 2)}

    async def run(*arguments: str) -> tuple[int, Any]:
        done = await asyncio.to_thread(deadletters, *arguments, "--json")
        return done.returncode, json.loads(done.stdout or "null") or done.stderr

    async with working(settings):
        await asyncio.to_thread(publish, settings.input, [flight(number) for number in range(60)])
        await asyncio.to_thread(collect, settings.deadletter, count=30)
        _, listed = await run("list", settings.deadletter)
        assert (listed["open"], listed["reasons"][0]["count"], listed["reasons"][0]["status"]) == (30, 30, 400)
        status, account = await run("replay", settings.deadletter, "--dry-run")
        assert (status, account["selected"]) == (0, 30)

        model.broken = {"flight-0", "flight-2"}
        status, account = await run("replay", settings.deadletter, "--wait", "30", "--output", settings.output)
        assert (status, account["replayed"], account["succeeded"], account["failed_again"], account["unknown"]) == (3, 30, 28, 2, 0), (
            account
        )
        _, listed = await run("list", settings.deadletter)
        assert {letter["id"] for letter in listed["letters"]} == {"flight-0", "flight-2"}
        assert {letter["replay"]["run"] for letter in listed["letters"]} == {account["run"]}
        assert (listed["replayed"], listed["read"]) == (30, 32)

        model.broken = set()
        status, account = await run("replay", settings.deadletter, "--wait", "30", "--output", settings.output)
        assert (status, account["replayed"], account["succeeded"]) == (0, 2, 2)
        status, problem = await run("replay", settings.deadletter)
        assert status == 1
        assert "no open letter" in problem
        scored = await asyncio.to_thread(collect, settings.output, count=60)

    assert ids(scored) == Counter(f"flight-{number}" for number in range(60))
    by_cause = {dict(record.headers)["ce_causationid"].decode(): record for record in scored}
    replayed = dict(by_cause["flight-0"].headers)
    assert replayed["ce_id"].decode() == reply_id("/airline", "flight-0", "flights")
    assert replayed["ce_deadletterreplay"].decode() == account["run"]
    assert replayed["tidegate_replay"].decode().startswith(f"{account['run']}/{settings.deadletter}/")
    assert by_cause["flight-0"].key == b"N0"
    assert "tidegate_replay" not in dict(by_cause["flight-1"].headers)


async def test_killed_replay_is_continued_without_a_double(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    flight: Flight,
    model: Model,
    deadletters: Call,
    state_dir: Path,
) -> None:
    count = 150
    again = asyncio.Event()
    settings = replace(settings, sink=await serve(model.answer))
    model.broken = {f"flight-{number}" for number in range(count)}
    model.scored = lambda ids: again.set() if len(ids) > 20 else None

    async def run(*arguments: str) -> Any:
        return json.loads((await asyncio.to_thread(deadletters, *arguments, "--json")).stdout)

    async with working(settings):
        await asyncio.to_thread(publish, settings.input, [flight(number) for number in range(count)])
        await asyncio.to_thread(collect, settings.deadletter, count=count)
        model.broken = set()
        # Slow, so that it is killed amid the letters that it has claimed.
        command = [sys.executable, "-m", "tidegate", "deadletters", "replay", settings.deadletter, "--rate", "50"]
        environ = {**os.environ, "TIDEGATE_STATE_DIR": str(state_dir)}
        killed = await asyncio.create_subprocess_exec(*command, env=environ, stdout=subprocess.DEVNULL)
        await again.wait()
        killed.kill()
        await killed.wait()
        held = (await run("list", settings.deadletter))["held"]
        assert sum(held.values()) <= 50  # it claims no more than it sends in a second
        rest = await run("replay", settings.deadletter)
        assert rest["found"] == 0  # the letters of the killed run are left to it
        for killed_run in held:
            taken = await run("replay", settings.deadletter, "--take-over", killed_run)
            assert taken["replayed"] == held[killed_run]
        assert (await run("list", settings.deadletter))["replayed"] == count
        scored = await asyncio.to_thread(collect, settings.output, count=count)

    assert ids(scored) == Counter(f"flight-{number}" for number in range(count))
