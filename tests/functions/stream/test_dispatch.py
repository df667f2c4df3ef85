from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.port import Broker
from eventing.reply import Problem, completed, failed
from functions.stream.dispatch import Calls
from functions.stream.partition import Lane, Slot
from functions.stream.recovery import Checkpoint
from functions.stream.settings import StreamSettings
from functions.stream.verdict import Answered, Refused

# Nothing is tried for longer than its first call takes.
SETTINGS = StreamSettings(
    broker=Broker("unused:9092"),
    input="in",
    output="out",
    deadletter="dead",
    group="g",
    model="m",
    sink="http://sink/models/m",
    retry_seconds=0.001,
)
REPLY = completed(Event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}), "m", "v1", 0.5)
DOWN = Problem(503, "not ready", "no replica is ready.")
Answer = Callable[[list[bytes]], Answered | Refused]


@dataclass(frozen=True)
class Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


class Sink:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[list[bytes]] = []

    async def post(self, events: list[bytes]) -> Answered | Refused:
        self.calls.append(events)
        return self.answer(events)


async def settle(sink: Sink, count: int, settings: StreamSettings = SETTINGS) -> list[Slot]:
    """One slot an event, in order, once each of them has a result."""
    lane, done = Lane(0, 0, Checkpoint({}), {}), asyncio.Event()
    slots = [lane.add(Record(number)) for number in range(count)]
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(_: Lane) -> None:
        if all(slot.result is not None for slot in slots):
            done.set()

    calls = Calls(sink, settings, look, failure.set_exception)  # type: ignore[arg-type]
    for number, slot in enumerate(slots):
        slot.event = b"%d" % number
    calls.add(slots)
    await done.wait()
    await calls.stop(1)
    assert not failure.done()
    return slots


def rejected(slots: list[Slot]) -> list[int]:
    return [slot.record.offset for slot in slots if isinstance(slot.result, Rejection)]


async def test_an_event_that_fails_its_batch_until_the_deadline_is_given_up_alone() -> None:
    def answer(events: list[bytes]) -> Answered | Refused:
        return Refused(Problem(500, "failed", "boom.")) if b"13" in events else Answered([REPLY] * len(events))

    slots = await settle(Sink(answer), 256)
    assert rejected(slots) == [13]
    assert isinstance(slots[13].result, Rejection)
    assert slots[13].result.problem.extensions == {"model": "m"}


async def test_a_sink_that_leaves_a_reply_out_loses_one_event_alone() -> None:
    slots = await settle(Sink(lambda events: Answered([REPLY] * (len(events) - (b"7" in events)))), 64)
    assert rejected(slots) == [7]


async def test_events_that_fail_among_others_are_given_up_at_the_deadline_and_the_others_are_not() -> None:
    def answer(events: list[bytes]) -> Answered:
        invalid, down = Problem(400, "invalid input", "no distance."), DOWN
        problems = {b"2": invalid, b"3": down, b"30": down, b"31": down}
        return Answered([failed(REPLY, "m", problems[event]) if event in problems else REPLY for event in events])

    sink = Sink(answer)
    slots = await settle(sink, 40)
    assert rejected(slots) == [2, 3, 30, 31]
    statuses = [slot.result.problem.status for slot in slots if isinstance(slot.result, Rejection)]
    assert statuses == [400, 503, 503, 503]
    assert slots[2].attempts == 1
    # What was answered is not asked again.
    assert {event for call in sink.calls[1:] for event in call} == {b"3", b"30", b"31"}


async def test_a_sink_that_comes_back_at_the_deadline_loses_nothing() -> None:
    sink = Sink(lambda events: Refused(DOWN) if len(events) > 8 else Answered([REPLY] * len(events)))
    assert rejected(await settle(sink, 64)) == []


async def test_a_sink_cannot_ask_for_more_patience_than_there_is() -> None:
    sink = Sink(lambda events: Refused(DOWN, retry_after=1e9) if len(sink.calls) == 1 else Answered([REPLY] * len(events)))
    assert rejected(await settle(sink, 2, replace(SETTINGS, retry_seconds=0.01))) == []
