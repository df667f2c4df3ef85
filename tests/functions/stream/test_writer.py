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
from functions.stream.partition import Lane
from functions.stream.recovery import Checkpoint, Landing, Mark
from functions.stream.settings import StreamSettings
from functions.stream.writer import Topics, WriteFailed, Writer

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
    """Keeps what it is given, and acknowledges when it is told to."""

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


def lane_with(count: int) -> tuple[Lane, list[Any]]:
    lane = Lane(5, 0, Checkpoint({"out": Mark(1, 0), "dead": Mark(1, 0)}), {})
    slots = [lane.add(Record(number)) for number in range(count)]
    for slot in slots:
        slot.result = REPLY
    return lane, lane.take()


async def test_an_output_lands_when_it_is_acknowledged_and_not_before() -> None:
    producer, failures = Producer(), list[Exception]()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failures.append)
    lane, slots = lane_with(3)
    writer.write(lane, slots)
    assert not await writer.drain({5}, 0)
    assert lane.position == 0
    for number, delivery in enumerate(producer.deliveries):
        delivery.finish(offset=100 + number)
    assert await writer.drain({5}, 5)
    assert lane.position == 3
    assert lane.checkpoint.marks["out"] == Mark(1, 103)
    assert [slot.landing for slot in slots] == [Landing("out", 1, 100 + number) for number in range(3)]
    # Partition 5 of an output topic with four is 1.
    assert {(topic, partition, key) for topic, partition, key, *_ in producer.sent} == {("out", 1, b"k")}
    assert [headers["tidegate_origin"] for *_, headers in producer.sent] == [b"in/5/0", b"in/5/1", b"in/5/2"]
    assert not failures


async def test_an_output_that_is_refused_stops_the_worker_and_is_not_committed() -> None:
    failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failure.set_result)
    lane, slots = lane_with(2)
    writer.write(lane, slots)
    producer.deliveries[0].finish(error=KafkaError("not enough replicas"))
    producer.deliveries[1].finish(offset=9)
    error = await failure
    assert isinstance(error, WriteFailed)
    assert "Kafka refused a record for out" in str(error)
    assert lane.position == 0


async def test_a_reply_that_is_too_large_becomes_a_dead_letter() -> None:
    producer = Producer(largest=2)
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(1)
    writer.write(lane, slots)
    ((topic, partition, key, value, headers),) = producer.sent
    assert (topic, partition, key, value) == ("dead", 1, b"k", b"{}")
    assert headers["knativeerrorcode"] == b"413"


async def test_a_dead_letter_without_room_for_its_reason_leaves_the_value_where_it_is() -> None:
    producer = Producer(largest=1)
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(1)
    writer.write(lane, slots)
    ((topic, _, key, value, headers),) = producer.sent
    assert (topic, key, value) == ("dead", b"k", b"")
    assert (headers["tidegate_origin"], headers["tidegate_omitted"], headers["knativeerrorcode"]) == (b"in/5/0", b"2 bytes", b"413")


@pytest.mark.parametrize(("key", "headers"), [(b"k", [("ce_big", b"x" * 1_048_000)]), (b"k" * 1_048_000, [])], ids=["header", "key"])
async def test_a_record_that_no_dead_letter_can_hold_has_one_that_says_where_it_is(
    key: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 2}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(1)
    slots[0].record = Record(0, key=key, headers=headers)
    slots[0].result = Rejection(Problem(422, "t", "d" * 3_000_000), 1)
    writer.write(lane, slots)
    ((topic, _, sent_key, value, sent),) = producer.sent
    assert (topic, sent_key, value) == ("dead", None, b"")
    assert sent["tidegate_origin"] == b"in/5/0"
    assert sent["tidegate_omitted"].endswith(b" bytes")
    assert orjson.loads(sent["tidegate_problem"])["detail"].startswith("ddd")


async def test_a_broker_that_takes_no_dead_letter_at_all_stops_the_worker_in_a_sentence() -> None:
    producer, failures = Producer(largest_whole=10), list[Exception]()
    writer = Writer(producer, SETTINGS, Topics({"out": 4, "dead": 4}), failures.append)
    with pytest.raises(WriteFailed, match=r"Kafka refused a record for dead \(in/5/0 is too large even without its key, value and headers"):
        writer.write(*lane_with(1))


async def test_what_its_topic_does_not_take_becomes_a_smaller_dead_letter() -> None:
    producer = Producer(largest=10**6)
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}, {"out": 400, "dead": 1_500}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(3)
    slots[1].result = replace(REPLY, data="long" * 100)
    slots[2].record = Record(2, value=b"long" * 400)
    slots[2].result = Rejection(Problem(400, "bad", "no JSON"), 0)
    writer.write(lane, slots)
    assert [(topic, headers.get("tidegate_omitted")) for topic, *_, headers in producer.sent] == [
        ("out", None),
        ("dead", None),
        ("dead", b"1600 bytes"),
    ]


async def test_a_record_without_key_and_value_can_be_answered() -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(1)
    slots[0].record = Record(0, key=None)
    slots[0].result = replace(REPLY, data=None)
    writer.write(lane, slots)
    assert producer.sent[0][2:4] == (None, None)


async def test_a_reply_that_cannot_be_written_as_json_becomes_a_dead_letter() -> None:
    producer = Producer()
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    lane, slots = lane_with(1)
    slots[0].result = replace(REPLY, data=orjson.loads(b"[" * 300 + b"]" * 300))
    writer.write(lane, slots)
    ((topic, *_, headers),) = producer.sent
    assert (topic, headers["knativeerrorcode"]) == ("dead", b"502")


async def test_a_record_that_the_client_does_not_take_stops_the_worker_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object) -> None:
        raise RequestTimedOut("no metadata in 5 s")

    producer = Producer()
    monkeypatch.setattr(producer, "send", send)
    writer = Writer(producer, SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: pytest.fail(str(error)))
    with pytest.raises(WriteFailed, match=r"Kafka refused a record for out \(.*no metadata in 5 s\)"):
        writer.write(*lane_with(1))
