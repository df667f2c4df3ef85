from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import TopicPartition
from functions.stream import startup
from functions.stream.settings import COOPERATIVE, StreamSettings


async def test_cooperative_worker_keeps_what_stays_with_it_when_others_come_and_go(
    settings: StreamSettings,
    serve: Callable[[Any], Awaitable[str]],
    flight: Callable[[int], Message],
    score: Callable[[Event], Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tidegate.stream")
    cluster, posted = FakeCluster(partitions=4), Counter[str]()
    producer, reader = cluster.producer(), cluster.consumer()

    async def answer(events: list[Event]) -> list[Event]:
        posted.update(event.id for event in events)
        return [score(event) for event in events]

    def publish(numbers: range) -> None:
        for number in numbers:
            producer.send(settings.input, flight(number), number % 4)

    def written() -> int:
        numbers = reader.partitions_for(settings.output)
        return sum(reader.end_offsets([TopicPartition(settings.output, number) for number in numbers]).values())

    def taken_up() -> Counter[int]:
        return Counter(int(found[1]) for found in map(re.compile(r"partition (\d) of .* is taken up").match, caplog.messages) if found)

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():  # noqa: ASYNC110 the worker sets no event
                await asyncio.sleep(0.01)

    settings = replace(settings, sink=await serve(answer), rebalance=COOPERATIVE)
    stops = [asyncio.Event(), asyncio.Event()]
    publish(range(100))
    first = asyncio.create_task(startup.run(settings, stops[0], cluster=cluster))
    await until(lambda: written() == 100)
    assert taken_up() == Counter(range(4))
    second = asyncio.create_task(startup.run(settings, stops[1], cluster=cluster))
    publish(range(100, 200))
    await until(lambda: taken_up().total() == 6)
    await until(lambda: written() == 200)
    moved = {number for number, count in taken_up().items() if count == 2}
    assert len(moved) == 2
    stops[1].set()
    await second
    publish(range(200, 300))
    await until(lambda: written() == 300)
    assert taken_up() == Counter(list(range(4)) + 2 * sorted(moved))
    stops[0].set()
    await first
    assert posted.keys() == {f"flight-{number}" for number in range(300)}
    # Only what was in a call when its partition moved is posted again.
    assert {int(name.removeprefix("flight-")) % 4 for name, count in posted.items() if count > 1} <= moved
