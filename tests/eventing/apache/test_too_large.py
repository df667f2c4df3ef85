"""Records, replies and reasons that are larger than an Apache Kafka takes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic

from eventing import deadletter, kafka
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka import Broker
from eventing.reply import Problem, failed
from eventing.settings import StreamSettings
from eventing.stream import worker

if TYPE_CHECKING:
    from tests.eventing.apache.conftest import Apache


async def test_a_partition_goes_on_behind_what_no_topic_can_hold(
    apache: Apache,
    serve: Callable[[Any], Awaitable[str]],
    flight: Callable[[int], Message],
    score: Callable[[Event], Event],
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        replies = {
            "flight-1": lambda event: failed(event, "flights", Problem(422, "no", "d" * 3_000_000)),
            "flight-2": lambda event: Event(score(event).attributes, "large" * 300_000),
            "flight-3": lambda event: score(event).with_attributes(subject="a\r\nb"),
        }
        return [replies.get(event.id, score)(event) for event in events]

    name, broker = uuid.uuid4().hex[:8], Broker(apache.at("PLAINTEXT"))
    topics: dict[str, Any] = {each: f"{each}-{name}" for each in ("input", "output", "deadletter")}
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(topic, 1, 1) for topic in topics.values()])
    with closing(kafka.producer(broker, max_request_size=2**21)) as producer:
        headers = flight(0).headers
        producer.send(topics["input"], b"{no json", b"k", [*headers, ("big", b"x" * 1_048_000)])
        for number in range(1, 6):
            message = flight(number)
            producer.send(topics["input"], message.value, message.key, message.headers)
        producer.flush(10)
    settings = StreamSettings(broker=broker, group=f"tidegate-{name}", model="flights", sink=await serve(answer), **topics)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(settings, stop))
    reading = asyncio.gather(*(asyncio.to_thread(read, broker, *each) for each in ((settings.output, 2), (settings.deadletter, 4))))
    both: set[asyncio.Future[Any]] = {running, reading}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    scored, dead = await reading

    assert [dict(record.headers)["ce_causationid"] for record in scored] == [b"flight-4", b"flight-5"]
    letters = {dict(record.headers)["tidegate_origin"].decode(): record for record in dead}
    assert letters.keys() == {f"{settings.input}/0/{number}" for number in range(4)}
    details = [deadletter.problem_of(letters[f"{settings.input}/0/{number}"].headers).detail for number in range(4)]
    assert "not JSON" in details[0]
    assert details[1].startswith("ddd")
    assert "larger than the broker takes" in details[2]
    assert "subject has a control character" in details[3]
    assert "tidegate_omitted" in dict(letters[f"{settings.input}/0/0"].headers)


def read(broker: Broker, topic: str, count: int) -> list[Any]:
    with closing(kafka.consumer(broker)) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        records: list[Any] = []
        until = time.monotonic() + 60
        while len(records) < count and time.monotonic() < until:
            records += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
        return records
