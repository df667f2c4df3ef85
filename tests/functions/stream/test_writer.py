from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from eventing.codecs.kafka import Message
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.errors import KafkaError, RecordTooLarge, RequestTimedOut
from eventing.kafka.port import Broker, Delivery
from eventing.reply import Problem
from functions.stream.checkpoint import Checkpoint, Position
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.sender import WriteFailed
from functions.stream.settings import StreamSettings
from functions.stream.topics import Topics
from functions.stream.writer import Writer

REPLY = Event({"specversion": "1.0", "id": "r", "source": "/models/flights", "type": "t"}, {"delayed": 0.5})
SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None = b"k"
    value: bytes | None = b"{}"
    topic: str = "in"
    partition: int = 5
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


@dataclass
class ManualDelivery:
    """A delivery that its test acknowledges or refuses."""

    offset: int | None = None
    partition: int | None = None
    error: KafkaError | None = None
    callbacks: list[Callable[[Delivery], None]] = field(default_factory=list)

    def add_done_callback(self, callback: Callable[[Delivery], None]) -> None:
        self.callbacks.append(callback)

    def finish(self, *, offset: int | None = None, error: KafkaError | None = None) -> None:
        self.offset, self.error = offset, error
        for callback in self.callbacks:
            callback(self)


class Producer:
    """Keeps the records that it is given; the test acknowledges them."""

    def __init__(self, *, largest: int = 1000, largest_whole: int = 2**20) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.deliveries: list[ManualDelivery] = []
        self._largest = largest
        self._largest_whole = largest_whole

    def batch_bytes(self, message: Message) -> int:
        headers = sum(len(name) + len(item) for name, item in message.headers)
        return len(message.key or b"") + len(message.value or b"") + headers

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        if len(message.value or b"") > self._largest or self.batch_bytes(message) > self._largest_whole:
            raise RecordTooLarge("too large")
        self.sent.append((topic, partition, message.key, message.value, dict(message.headers)))
        self.deliveries.append(ManualDelivery())
        return self.deliveries[-1]

    def partitions_for(self, topic: str) -> set[int]:
        raise NotImplementedError

    def flush(self, timeout_seconds: float) -> None:
        raise NotImplementedError

    def close(self, timeout_seconds: float = 5.0) -> None:
        raise NotImplementedError


def tracker_with(count: int) -> tuple[PartitionTracker, list[Any]]:
    tracker = PartitionTracker(5, 0, Checkpoint({"out": Position(1, 0), "dead": Position(1, 0)}))
    records = [added(tracker, Record(number)) for number in range(count)]
    for pending in records:
        pending.result = REPLY
    return tracker, tracker.take(records).written


def added(tracker: PartitionTracker, record: Record) -> PendingRecord:
    pending = tracker.add(record)
    assert pending is not None
    return pending


async def test_output_offset_is_set_when_it_is_acknowledged() -> None:
    producer, failures = Producer(), list[Exception]()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failures.append)
    tracker, records = tracker_with(3)
    writer.write(tracker, records)
    assert not await writer.drain({5}, 0)
    assert tracker.position == 0
    for number, delivery in enumerate(producer.deliveries):
        delivery.finish(offset=100 + number)
    assert await writer.drain({5}, 5)
    assert tracker.position == 3
    assert orjson.loads(tracker.commit().metadata)["out"] == [1, 103]
    # Partition 5 of an output topic with four is 1.
    assert {(topic, partition, key) for topic, partition, key, *_ in producer.sent} == {("out", 1, b"k")}
    assert [headers["tidegate_origin"] for *_, headers in producer.sent] == [b"in/5/0", b"in/5/1", b"in/5/2"]
    assert not failures


async def test_mark_of_a_replay_is_carried_on_to_the_output() -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), lambda error: pytest.fail(str(error)))
    tracker, records = PartitionTracker(5, 0, Checkpoint({})), list[PendingRecord]()
    for number, marks in enumerate([[], [("tidegate_replay", b"run/dead/0/7")]]):
        headers: list[tuple[str, bytes | None]] = [*marks]
        records.append(added(tracker, Record(number, headers=headers)))
        records[-1].result = REPLY
    writer.write(tracker, tracker.take(records).written)
    assert [headers.get("tidegate_replay") for *_, headers in producer.sent] == [None, b"run/dead/0/7"]


async def test_refused_output_stops_the_worker_and_is_not_committed() -> None:
    failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failure.set_result)
    tracker, records = tracker_with(2)
    writer.write(tracker, records)
    producer.deliveries[0].finish(error=KafkaError("not enough replicas"))
    producer.deliveries[1].finish(offset=9)
    error = await failure
    assert isinstance(error, WriteFailed)
    assert "Kafka refused a record for out" in str(error)
    assert tracker.position == 0


async def test_reply_too_large_becomes_a_dead_letter() -> None:
    producer = Producer(largest=2)
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(1)
    writer.write(tracker, records)
    ((topic, partition, key, value, headers),) = producer.sent
    assert (topic, partition, key, value) == ("dead", 1, b"k", b"{}")
    assert headers["knativeerrorcode"] == b"413"


async def test_dead_letter_without_room_for_its_reason_omits_the_value() -> None:
    producer = Producer(largest=1)
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(1)
    writer.write(tracker, records)
    ((topic, _, key, value, headers),) = producer.sent
    assert (topic, key, value) == ("dead", b"k", b"")
    assert (headers["tidegate_origin"], headers["tidegate_omitted"], headers["knativeerrorcode"]) == (b"in/5/0", b"2 bytes", b"413")


@pytest.mark.parametrize(("key", "headers"), [(b"k", [("ce_big", b"x" * 1_048_000)]), (b"k" * 1_048_000, [])], ids=["header", "key"])
async def test_record_too_large_for_a_dead_letter_is_referenced(key: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(1)
    records[0].record = Record(0, key=key, headers=headers)
    records[0].result = Rejection(Problem(422, "t", "d" * 3_000_000), 1)
    writer.write(tracker, records)
    ((topic, _, sent_key, value, sent),) = producer.sent
    assert (topic, sent_key, value) == ("dead", None, b"")
    assert sent["tidegate_origin"] == b"in/5/0"
    assert sent["tidegate_omitted"].endswith(b" bytes")
    assert orjson.loads(sent["tidegate_problem"])["detail"].startswith("ddd")


async def test_broker_that_accepts_no_dead_letter_stops_the_worker() -> None:
    producer, failures = Producer(largest_whole=10), list[Exception]()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failures.append)
    with pytest.raises(WriteFailed, match=r"Kafka refused a record for dead \(in/5/0 is too large even without its key, value and headers"):
        writer.write(*tracker_with(1))


async def test_record_above_its_topic_limit_becomes_a_smaller_dead_letter() -> None:
    producer = Producer(largest=10**6)
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}, {"out": 400, "dead": 1_500}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(3)
    records[1].result = replace(REPLY, data="long" * 100)
    records[2].record = Record(2, value=b"long" * 400)
    records[2].result = Rejection(Problem(400, "bad", "no JSON"), 0)
    writer.write(tracker, records)
    assert [(topic, headers.get("tidegate_omitted")) for topic, *_, headers in producer.sent] == [
        ("out", None),
        ("dead", None),
        ("dead", b"1600 bytes"),
    ]


async def test_reply_without_key_and_value_is_sent() -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(1)
    records[0].record = Record(0, key=None)
    records[0].result = replace(REPLY, data=None)
    writer.write(tracker, records)
    assert producer.sent[0][2:4] == (None, None)


async def test_reply_that_is_not_json_becomes_a_dead_letter() -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    tracker, records = tracker_with(1)
    records[0].result = replace(REPLY, data=orjson.loads(b"[" * 300 + b"]" * 300))
    writer.write(tracker, records)
    ((topic, *_, headers),) = producer.sent
    assert (topic, headers["knativeerrorcode"]) == ("dead", b"502")


async def test_record_that_the_client_refuses_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object) -> None:
        raise RequestTimedOut("no metadata in 5 s")

    producer = Producer()
    monkeypatch.setattr(producer, "send", send)
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    with pytest.raises(WriteFailed, match=r"Kafka refused a record for out \(.*no metadata in 5 s\)"):
        writer.write(*tracker_with(1))
