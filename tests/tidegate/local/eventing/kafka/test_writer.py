from __future__ import annotations

import asyncio

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import BrokerUnreachable, KafkaError
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Delivery, Producer
from tests.tidegate.local.eventing.harness import until
from tidegate.local.eventing.kafka import writer
from tidegate.local.eventing.kafka.writer import Position, Writer


class Held:
    """A producer whose records are acknowledged by the test."""

    def __init__(self) -> None:
        self.sent: list[HeldDelivery] = []

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        self.sent.append(HeldDelivery(len(self.sent)))
        return self.sent[-1]

    def __getattr__(self, name: str) -> object:
        raise NotImplementedError(name)


class HeldDelivery:
    partition = 0

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.error: KafkaError | None = None

    def add_done_callback(self, callback: object) -> None:
        self.acknowledge = lambda: callback(self)  # type: ignore[operator]


@pytest.fixture
def producer() -> Held:
    return Held()


def writing(producer: Held) -> Writer:
    found: Producer = producer  # type: ignore[assignment]
    return Writer(found)


async def test_position_is_known_once_the_record_is_acknowledged() -> None:
    found = Writer(FakeCluster().producer())
    positions: list[Position] = []

    first = await found.write("t", Message(b"k", b"1", []), positions.append)
    second = await found.write("t", Message(b"k", b"2", []), positions.append)

    assert positions == [first, second]
    assert second == Position(first.partition, first.offset + 1)


async def test_refused_record_raises() -> None:
    cluster = FakeCluster()
    cluster.refuse(lambda *_: BrokerUnreachable("gone"))

    with pytest.raises(BrokerUnreachable):
        await Writer(cluster.producer()).write("t", Message(None, b"1", []))


async def test_record_of_a_caller_that_has_gone_is_written_nevertheless(producer: Held) -> None:
    found, positions = writing(producer), list[Position]()
    caller = asyncio.create_task(found.write("t", Message(None, b"1", []), positions.append))
    await until(lambda: len(producer.sent) == 1)
    caller.cancel()

    await asyncio.to_thread(producer.sent[0].acknowledge)

    await until(lambda: positions == [Position(0, 0)])


async def test_unacknowledged_records_are_bounded_in_bytes(producer: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MAX_UNACKNOWLEDGED_BYTES", 1000)
    found = writing(producer)
    first = asyncio.create_task(found.write("t", Message(None, b"1", [])))
    await until(lambda: len(producer.sent) == 1)
    first.cancel()
    second = asyncio.create_task(found.write("t", Message(None, b"2", [])))
    await asyncio.sleep(0)
    assert len(producer.sent) == 1

    await asyncio.to_thread(producer.sent[0].acknowledge)
    await until(lambda: len(producer.sent) == 2)

    await asyncio.to_thread(producer.sent[1].acknowledge)
    assert await second == Position(0, 1)
