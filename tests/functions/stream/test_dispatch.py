from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.port import Broker
from eventing.reply import Problem, completed, failed
from functions.stream.checkpoint import Checkpoint
from functions.stream.dispatch import SinkDispatcher
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.settings import StreamSettings
from functions.stream.sink import Failure, Success

# The retry time is over after the first call.
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
Answer = Callable[[list[bytes]], Success | Failure]


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

    async def post(self, events: list[bytes]) -> Success | Failure:
        self.calls.append(events)
        await asyncio.sleep(0)  # as any request
        return self.answer(events)


async def settle(sink: Sink, count: int, settings: StreamSettings = SETTINGS) -> list[PendingRecord]:
    """Return one pending record for each event, in order, once all have a result."""
    tracker, done = PartitionTracker(0, 0, Checkpoint({})), asyncio.Event()
    records = [PendingRecord(tracker, Record(number)) for number in range(count)]
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def check(_: PartitionTracker, resolved: list[PendingRecord]) -> None:
        assert all(pending.result is not None for pending in resolved)
        if all(pending.result is not None for pending in records):
            done.set()

    dispatcher = SinkDispatcher(sink, settings, resolved=check, failed=failure.set_exception)
    dispatcher.start()
    for number, pending in enumerate(records):
        pending.event = b"%d" % number
    dispatcher.add(records)
    await done.wait()
    await dispatcher.stop(1)
    assert not failure.done()
    return records


def rejected(records: list[PendingRecord]) -> list[int]:
    return [pending.record.offset for pending in records if isinstance(pending.result, Rejection)]


async def test_event_that_fails_its_batch_is_rejected_alone() -> None:
    def answer(events: list[bytes]) -> Success | Failure:
        return Failure(Problem(500, "failed", "boom.")) if b"13" in events else Success([REPLY] * len(events))

    records = await settle(Sink(answer), 256)
    assert rejected(records) == [13]
    assert isinstance(records[13].result, Rejection)
    assert records[13].result.problem.extensions == {"model": "m"}


async def test_event_that_fails_its_batch_is_found_long_before_its_deadline() -> None:
    def answer(events: list[bytes]) -> Success | Failure:
        if b"13" not in events:
            return Success([REPLY] * len(events))
        # It is refused for good only once it fails alone, which a worker could not wait for.
        return Failure(Problem(400 if len(events) == 1 else 500, "failed", "boom."))

    assert rejected(await settle(Sink(answer), 256, replace(SETTINGS, retry_seconds=600))) == [13]


async def test_event_that_ends_the_function_is_found_while_that_answers_others() -> None:
    def answer(events: list[bytes]) -> Success | Failure:
        if b"13" not in events:
            return Success([REPLY] * len(events))
        return Failure(Problem(400, "failed", "boom.") if len(events) == 1 else DOWN)

    settings = replace(SETTINGS, retry_seconds=600, batch_size=16)
    assert rejected(await settle(Sink(answer), 64, settings)) == [13]


async def test_batch_is_not_divided_while_the_sink_is_away() -> None:
    sink = Sink(lambda events: Success([REPLY] * len(events)) if len(sink.calls) > 5 else Failure(Problem(500, "failed", "boom.")))
    assert rejected(await settle(sink, 64, replace(SETTINGS, retry_seconds=600, batch_size=16))) == []
    assert {len(call) for call in sink.calls} == {16}


async def test_event_that_is_retried_alone_does_not_hold_up_others() -> None:
    tracker, retried, others = PartitionTracker(0, 0, Checkpoint({})), asyncio.Event(), asyncio.Event()

    def answer(events: list[bytes]) -> Success:
        if len(sink.calls) == 5:  # fresh events that fail so often would mean that the sink is away
            retried.set()
        return Success([failed(REPLY, "m", DOWN) if event == b"0" else REPLY for event in events])

    sink = Sink(answer)
    records = [PendingRecord(tracker, Record(number)) for number in range(2)]
    for number, pending in enumerate(records):
        pending.event = b"%d" % number
    dispatcher = SinkDispatcher(
        sink, replace(SETTINGS, retry_seconds=600), resolved=lambda _, found: others.set(), failed=lambda error: pytest.fail(str(error))
    )
    dispatcher.start()
    dispatcher.add(records[:1])
    await retried.wait()
    dispatcher.add(records[1:])
    await asyncio.wait_for(others.wait(), 10)
    await dispatcher.stop(1)
    assert records[1].result is REPLY


async def test_missing_reply_rejects_only_its_event() -> None:
    records = await settle(Sink(lambda events: Success([REPLY] * (len(events) - (b"7" in events)))), 64)
    assert rejected(records) == [7]


async def test_only_failing_events_are_rejected_at_the_deadline() -> None:
    def answer(events: list[bytes]) -> Success:
        invalid, down = Problem(400, "invalid input", "no distance."), DOWN
        problems = {b"2": invalid, b"3": down, b"30": down, b"31": down}
        return Success([failed(REPLY, "m", problems[event]) if event in problems else REPLY for event in events])

    sink = Sink(answer)
    records = await settle(sink, 40)
    assert rejected(records) == [2, 3, 30, 31]
    statuses = [pending.result.problem.status for pending in records if isinstance(pending.result, Rejection)]
    assert statuses == [400, 503, 503, 503]
    assert records[2].attempts == 1
    # Events with a reply are not posted again.
    assert {event for call in sink.calls[1:] for event in call} == {b"3", b"30", b"31"}


async def test_sink_that_recovers_at_the_deadline_loses_nothing() -> None:
    sink = Sink(lambda events: Failure(DOWN) if len(events) > 8 else Success([REPLY] * len(events)))
    assert rejected(await settle(sink, 64)) == []


async def test_all_events_are_rejected_once_a_sink_is_away_for_too_long() -> None:
    sink = Sink(lambda events: Failure(DOWN))
    assert rejected(await settle(sink, 64, replace(SETTINGS, retry_seconds=0.5, batch_size=32))) == list(range(64))


async def test_retry_after_is_limited_to_the_retry_time() -> None:
    sink = Sink(lambda events: Failure(DOWN, retry_after=1e9) if len(sink.calls) == 1 else Success([REPLY] * len(events)))
    assert rejected(await settle(sink, 2, replace(SETTINGS, retry_seconds=0.01))) == []
