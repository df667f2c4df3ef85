"""Records, replies and reasons that are larger than an Apache Kafka accepts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing import deadletter
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, ProducerOptions, TopicPartition
from eventing.reply import Problem, failed
from functions.stream import startup
from functions.stream.limits import TopicTooSmall
from functions.stream.settings import StreamSettings

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache


async def test_partition_goes_on_after_records_too_large_for_any_topic(
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
    topics = create_topics(broker, name)
    with closing(cluster_of(broker).producer(ProducerOptions(max_request_bytes=2**21))) as producer:
        headers = flight(0).headers
        producer.send(topics["input"], Message(b"k", b"{no json", [*headers, ("big", b"x" * 1_048_000)]))
        for number in range(1, 6):
            producer.send(topics["input"], flight(number))
        producer.flush(10)
    settings = StreamSettings(broker=broker, group=f"tidegate-{name}", model="flights", sink=await serve(answer), **topics)
    scored, dead = await move(settings, scored=2, dead=4)

    assert [dict(record.headers)["ce_causationid"] for record in scored] == [b"flight-4", b"flight-5"]
    letters = {dict(record.headers)["tidegate_origin"].decode(): record for record in dead}
    assert letters.keys() == {f"{settings.input}/0/{number}" for number in range(4)}
    details = [deadletter.problem_of(letters[f"{settings.input}/0/{number}"].headers).detail for number in range(4)]
    assert "not JSON" in details[0]
    assert details[1].startswith("ddd")
    assert "larger than the broker takes" in details[2]
    assert "subject has a control character" in details[3]
    assert "tidegate_omitted" in dict(letters[f"{settings.input}/0/0"].headers)


async def test_topics_below_the_client_limit_get_records_that_fit(
    apache: Apache,
    serve: Callable[[Any], Awaitable[str]],
    flight: Callable[[int], Message],
    score: Callable[[Event], Event],
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        large = {"flight-1": "large" * 5_000}
        return [Event(score(event).attributes, large.get(event.id, "small" * 100)) for event in events]

    name, broker = uuid.uuid4().hex[:8], Broker(apache.at("PLAINTEXT"))
    topics = create_topics(broker, name, output=2000, deadletter=17_000)
    with closing(cluster_of(broker).producer()) as producer:
        producer.send(topics["input"], Message(b"k", b"{no json" + b" " * 50_000, flight(0).headers))
        for number in range(1, 301):
            producer.send(topics["input"], flight(number))
        producer.flush(10)
    settings = StreamSettings(broker=broker, group=f"tidegate-{name}", model="flights", sink=await serve(answer), **topics)
    scored, dead = await move(settings, scored=299, dead=2)

    found = [int(dict(record.headers)["ce_causationid"].removeprefix(b"flight-")) for record in scored]
    assert sorted(found) == list(range(2, 301))
    for aircraft in range(13):
        of_key = [number for number in found if number % 13 == aircraft]
        assert of_key == sorted(of_key)
    letters = {dict(record.headers)["tidegate_origin"].decode(): record for record in dead}
    broken, large = (letters[f"{settings.input}/0/{number}"] for number in (0, 1))
    assert "tidegate_omitted" in dict(broken.headers)
    assert "larger than the broker takes" in deadletter.problem_of(large.headers).detail


async def test_topic_too_small_for_a_dead_letter_is_refused_at_start(apache: Apache) -> None:
    name, broker = uuid.uuid4().hex[:8], Broker(apache.at("PLAINTEXT"))
    topics = create_topics(broker, name, input=9000, output=9000, deadletter=9000)
    settings = StreamSettings(broker=broker, group=f"tidegate-{name}", model="flights", sink="http://127.0.0.1:9/models/flights", **topics)
    with pytest.raises(TopicTooSmall, match=rf"deadletter-{name} takes records of at most 9000 bytes \(max.message.bytes\)"):
        await startup.run(settings, asyncio.Event())


def create_topics(broker: Broker, name: str, **limits: int) -> dict[str, Any]:
    """Create the three topics of a stream, with one partition each; `limits` are their `max.message.bytes` if given."""
    topics = {each: f"{each}-{name}" for each in ("input", "output", "deadletter")}
    configs = {each: {"max.message.bytes": str(limit)} for each, limit in limits.items()}
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(topic, 1, 1, topic_configs=configs.get(each)) for each, topic in topics.items()])
    return topics


async def move(settings: StreamSettings, *, scored: int, dead: int) -> tuple[list[Any], list[Any]]:
    """Run a worker until the output topics have so many records, and return these."""
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    wanted = ((settings.output, scored), (settings.deadletter, dead))
    reading = asyncio.gather(*(asyncio.to_thread(read, settings.broker, *each) for each in wanted))
    both: set[asyncio.Future[Any]] = {running, reading}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    outputs, letters = await reading
    return outputs, letters


def read(broker: Broker, topic: str, count: int) -> list[Any]:
    with closing(cluster_of(broker).consumer()) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        records: list[Any] = []
        until = time.monotonic() + 60
        while len(records) < count and time.monotonic() < until:
            records += [record for batch in consumer.poll(0.5).values() for record in batch]
        return records
