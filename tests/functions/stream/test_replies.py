from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.port import Broker
from eventing.reply import Problem
from functions.stream import replies as module
from functions.stream.checkpoint import Checkpoint
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.replies import Replies
from functions.stream.reply_sink import Accepted
from functions.stream.report import Tally
from functions.stream.settings import ReplySettings, StreamSettings
from functions.stream.sink import Failure

URL = "http://alice:horse@broker/default"
SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None = b"{}"
    topic: str = "in"
    partition: int = 0
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


class Writer:
    """Writes at once, and keeps the offsets and results."""

    has_room = True

    def __init__(self) -> None:
        self.written: list[tuple[int, Any]] = []
        self.drained = list[set[int]]()

    def targets(self, partition: int) -> dict[str, int]:
        return {"out": partition, "dead": partition}

    def write(self, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        self.written += [(pending.record.offset, pending.result) for pending in records]
        tracker.finish(records)

    def holds(self, partition: int) -> bool:
        return False

    def posts(self, partition: int) -> bool:
        return False

    async def drain(self, partitions: set[int], timeout_seconds: float) -> bool:
        self.drained.append(partitions)
        return True

    def drop(self, partitions: Collection[int]) -> None:
        pass

    async def close(self) -> None:
        pass


class Sink:
    """Answers each attempt at a reply with the next of its statuses, then with 202; a batch with its worst."""

    url = "http://broker/default"

    def __init__(self, statuses: dict[str, list[int]] | None = None) -> None:
        self.statuses = statuses or {}
        self.accepted: list[str] = []
        self.most = 0
        self.open: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def post(self, replies: Sequence[Event]) -> Accepted | Failure:
        ids = [reply.id for reply in replies]
        assert not self.open & set(ids)
        self.open |= set(ids)
        self.most = max(self.most, len(self.open))
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        self.open -= set(ids)
        found = [self.statuses[each].pop(0) if self.statuses.get(each) else 202 for each in ids]
        if max(found) < 300:
            self.accepted += ids
            return Accepted()
        status = next((each for each in found if 400 <= each < 500), max(found))
        return Failure(Problem(status, "refused", f"the reply sink answered {status}."))


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda attempt: 0.0)


def reply(number: int) -> Event:
    return Event({"specversion": "1.0", "id": str(number), "source": "/models/m", "type": "t"}, {"delayed": 0.5})


def resolved(
    keys: Sequence[bytes | None], partition: int = 0, results: dict[int, Rejection] | None = None, *, by_key: bool = True
) -> tuple[PartitionTracker, list[PendingRecord]]:
    """Return a partition, and its records that have their results, as they are to be written."""
    tracker = PartitionTracker(partition, 0, Checkpoint({}), by_key=by_key)
    records = []
    for number, key in enumerate(keys):
        pending = tracker.add(Record(number, key, partition=partition))
        assert pending is not None
        pending.result = (results or {}).get(number) or reply(number)
        records.append(pending)
    return tracker, tracker.take(records).written


def replies_to(sink: Sink, writer: Writer, settings: StreamSettings = SETTINGS, **limits: int) -> tuple[Replies, Tally]:
    tally = Tally()

    def failed(error: BaseException) -> None:
        raise error

    return Replies(sink, writer, settings, ReplySettings(url=URL, **limits), tally=tally, failed=failed), tally


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0)


KEYS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.lists(st.sampled_from([503, 429, 400]), max_size=3)), max_size=25)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=KEYS, batch_size=st.integers(1, 5), in_flight=st.integers(1, 4), topic=st.booleans())
def test_replies_of_a_key_are_accepted_in_order_and_each_result_is_finished_once(
    records: list[tuple[bytes | None, list[int]]], batch_size: int, in_flight: int, topic: bool
) -> None:
    async def deliver() -> None:
        sink = Sink({str(number): list(statuses) for number, (_, statuses) in enumerate(records)})
        writer, keys = Writer(), [key for key, _ in records]
        settings = replace(SETTINGS, output="out" if topic else "")
        replies, tally = replies_to(sink, writer, settings, batch_size=batch_size, in_flight=in_flight)
        tracker, results = resolved(keys)
        replies.write(tracker, results)
        await until(lambda: tracker.position == len(records) and not replies.posts(0))
        refused = {offset for offset, result in writer.written if isinstance(result, Rejection)}
        # A batch that is refused is divided, so that only a reply that is refused alone is given up.
        assert refused <= {number for number, (_, statuses) in enumerate(records) if 400 in statuses}
        assert sorted(map(int, sink.accepted)) == [number for number in range(len(records)) if number not in refused]
        by_key = defaultdict(list)
        for each in sink.accepted:
            by_key[keys[int(each)]].append(int(each))
        assert all(found == sorted(found) for key, found in by_key.items() if key is not None)
        written = [offset for offset, _ in writer.written]
        assert sorted(written) == (list(range(len(records))) if topic else sorted(refused))
        for key in {key for key in keys if key is not None}:
            of_key = [offset for offset in written if keys[offset] == key]
            assert of_key == sorted(of_key)
        assert tally.refused == len(refused)
        assert sink.most <= batch_size * in_flight

    asyncio.run(deliver())


async def test_other_keys_are_posted_while_one_is_tried_again() -> None:
    sink, writer = Sink({"0": [503] * 10_000}), Writer()
    replies, _ = replies_to(sink, writer, replace(SETTINGS, output=""), in_flight=1)
    tracker, written = resolved([b"slow", b"slow", b"a", b"b"])
    replies.write(tracker, written)
    await until(lambda: len(sink.accepted) == 2)
    assert sink.accepted == ["2", "3"]
    assert tracker.position == 0
    assert replies.posts(0)
    await replies.close()


async def test_reply_that_is_refused_becomes_a_dead_letter_that_names_the_reply_sink() -> None:
    writer = Writer()
    replies, tally = replies_to(Sink({"0": [503, 400]}), writer)
    tracker, written = resolved([b"a"])
    replies.write(tracker, written)
    await until(lambda: bool(writer.written))
    ((_, rejection),) = writer.written
    assert (rejection.problem.status, rejection.attempts, rejection.destination) == (400, 2, URL)
    assert rejection.problem.extensions == {"model": "m"}
    assert "horse" not in repr(rejection)
    assert tally.refused == 1


async def test_reply_is_given_up_after_the_time_for_retries() -> None:
    writer, sink = Writer(), Sink({"0": [503] * 10_000, "1": []})
    replies, _ = replies_to(sink, writer, replace(SETTINGS, retry_seconds=0.01), batch_size=2)
    tracker, written = resolved([b"a", b"a"])
    replies.write(tracker, written)
    await until(lambda: len(writer.written) == 2)
    assert [type(result) for _, result in writer.written] == [Rejection, Event]
    assert sink.accepted == ["1"]


async def test_dead_letter_is_not_posted() -> None:
    sink, writer = Sink(), Writer()
    sink.gate = asyncio.Event()
    replies, _ = replies_to(sink, writer)
    rejection = Rejection(Problem(400, "invalid event", "no."), 0)
    tracker, written = resolved([b"a", b"b"], results={1: rejection})
    replies.write(tracker, written)
    assert writer.written == [(1, rejection)]
    sink.gate.set()
    await until(lambda: tracker.position == 2)
    assert sink.accepted == ["0"]


async def test_order_of_a_partition_is_kept_across_its_keys() -> None:
    sink, writer = Sink({"0": [503, 503]}), Writer()
    replies, _ = replies_to(sink, writer, in_flight=4)
    tracker, written = resolved([b"a", b"b", None], by_key=False)
    replies.write(tracker, written)
    await until(lambda: tracker.position == 3)
    assert sink.accepted == ["0", "1", "2"]


async def test_drain_of_a_closed_partition_waits_for_open_calls_and_drops_the_others() -> None:
    sink, writer = Sink(), Writer()
    sink.gate = asyncio.Event()
    replies, _ = replies_to(sink, writer, in_flight=1)
    (tracker, records), (other, others) = resolved([b"a", b"a", b"b"]), resolved([b"a"], partition=1)
    replies.write(tracker, records)
    replies.write(other, others)
    await until(lambda: bool(sink.open))
    tracker.close()
    assert not await replies.drain({0}, 0)
    assert not replies.posts(0)
    # The next assignment of the partition has to wait for the call that is still open.
    draining = asyncio.create_task(replies.drain({0}, 30))
    await asyncio.sleep(0)
    assert not draining.done()
    sink.gate.set()
    assert await draining
    await until(lambda: other.position == 1)
    assert sink.accepted == ["0", "0"]  # of both partitions, and no later one of the closed one
    assert writer.written == [(0, reply(0))]


async def test_reply_that_is_accepted_while_its_partition_is_drained_is_still_written() -> None:
    sink, writer = Sink(), Writer()
    sink.gate = asyncio.Event()
    replies, _ = replies_to(sink, writer)
    tracker, written = resolved([b"a"])
    replies.write(tracker, written)
    await until(lambda: bool(sink.open))
    tracker.close()
    draining = asyncio.create_task(replies.drain({0}, 30))
    await asyncio.sleep(0)
    sink.gate.set()
    assert await draining
    assert tracker.position == 1
    assert writer.written == [(0, reply(0))]


async def test_call_that_breaks_fails_the_worker() -> None:
    class Broken(Sink):
        async def post(self, replies: Sequence[Event]) -> Accepted | Failure:
            raise RuntimeError("no session")

    failures: list[BaseException] = []
    replies = Replies(Broken(), Writer(), SETTINGS, ReplySettings(url=URL), tally=Tally(), failed=failures.append)
    tracker, written = resolved([b"a"])
    replies.write(tracker, written)
    await until(lambda: bool(failures))
    assert str(failures[0]) == "no session"
