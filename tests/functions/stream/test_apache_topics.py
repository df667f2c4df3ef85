"""Topics of an Apache Kafka that lose records, are recreated, grow, or may not be used."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, NewTopic, ResourcePattern, ResourceType
from kafka.errors import TopicAlreadyExistsError
from kafka.structs import TopicPartition as ClientPartition

from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.errors import BrokerRefused
from eventing.kafka.factory import CLIENT, CLIENTS, CONFLUENT, KAFKA_PYTHON, cluster_of
from eventing.kafka.port import Broker, CommittedOffset, ConsumerOptions, TopicPartition
from eventing.kafka.security import Security
from functions.stream import input as module
from functions.stream import startup
from functions.stream.health import Health
from functions.stream.sender import WriteFailed
from functions.stream.settings import StreamSettings

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache


@dataclass
class Stream:
    """A stream with topics of one partition, whose sink keeps the ids of the events that it gets."""

    settings: StreamSettings
    admin: Any
    flight: Callable[[int], Message]
    posted: list[int] = field(default_factory=list)
    health: Health = field(default_factory=Health)

    def create(self, *topics: str, partitions: int = 1) -> None:
        self.admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics])

    def publish(self, numbers: range, partition: int = 0) -> None:
        with closing(cluster_of(self.settings.broker).producer()) as producer:
            for number in numbers:
                producer.send(self.settings.input, self.flight(number), partition)
            producer.flush(10)

    def remove(self, before: int) -> None:
        self.admin.delete_records({ClientPartition(self.settings.input, 0): before})

    def recreate(self) -> None:
        self.admin.delete_topics([self.settings.input])
        while True:
            try:
                return self.create(self.settings.input)
            except TopicAlreadyExistsError:  # it is deleted in the background
                time.sleep(0.02)

    def commit(self, offset: int) -> None:
        with closing(cluster_of(self.settings.broker).consumer(ConsumerOptions(group=self.settings.group))) as consumer:
            consumer.commit({TopicPartition(self.settings.input, 0): CommittedOffset(offset)})

    def allow_only(self, kind: ResourceType, name: str, user: str, operation: ACLOperation) -> None:
        pattern = ResourcePattern(kind, name)
        self.admin.create_acls([ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)])

    async def run(self, reached: Callable[[], bool]) -> None:
        """Run a worker until something is reached; raises what ends it earlier."""
        stop = asyncio.Event()
        running = asyncio.create_task(startup.run(self.settings, stop, self.health))
        async with asyncio.timeout(60):
            while not reached() and not running.done():  # noqa: ASYNC110 the worker sets no event
                await asyncio.sleep(0.02)
        stop.set()
        await running


@pytest.fixture
async def stream(
    apache: Apache, serve: Callable[[Any], Awaitable[str]], flight: Callable[[int], Message], score: Callable[[Event], Event]
) -> AsyncIterator[Stream]:
    async def answer(events: list[Event]) -> list[Event]:
        made.posted += [int(event.id.removeprefix("flight-")) for event in events]
        return [score(event) for event in events]

    name, servers = uuid.uuid4().hex[:8], apache.at("PLAINTEXT")
    admin = KafkaAdminClient(bootstrap_servers=servers)
    settings = StreamSettings(
        broker=Broker(servers),
        input=f"input-{name}",
        output=f"output-{name}",
        deadletter=f"deadletter-{name}",
        group=f"tidegate-{name}",
        model="flights",
        sink=await serve(answer),
        commit_seconds=0.1,
    )
    made = Stream(settings, admin, flight)
    made.create(settings.input, settings.output, settings.deadletter)
    yield made
    admin.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(CLIENT, request.param)
    return str(request.param)


async def test_records_that_were_removed_before_they_were_read_are_counted(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    stream.publish(range(10))
    stream.commit(2)
    stream.remove(7)
    await stream.run(lambda: len(stream.posted) == 3)
    assert stream.posted == [7, 8, 9]
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert error.startswith(f"partition 0 of {stream.settings.input}: 5 records from offset 2 on were removed before they were read;")


async def test_topic_that_was_recreated_is_read_from_its_start(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    stream.publish(range(5))
    stream.commit(10)  # Apache Kafka forgets it with the topic; a mirror of the group's offsets does not
    await stream.run(lambda: len(stream.posted) == 5)
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "the group's offset 10 is beyond the partition's end 5, as after its topic was recreated" in error


@pytest.mark.parametrize("client", [CONFLUENT], indirect=True)
@pytest.mark.usefixtures("client")
async def test_topic_that_is_recreated_under_a_worker_is_read_from_its_start(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Librdkafka notices; with the other client, the guard ends the worker."""
    monkeypatch.setattr(module, "METADATA_SECONDS", 1.0)
    stream.publish(range(10))

    def reached() -> bool:
        if len(stream.posted) == 10 and not again:
            again.append(True)
            stream.recreate()
            stream.publish(range(10, 15))
        return len(stream.posted) == 15

    again: list[bool] = []
    await stream.run(reached)
    assert stream.posted == list(range(15))


@pytest.mark.usefixtures("client")
async def test_partition_that_is_added_is_read(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "METADATA_SECONDS", 1.0)
    stream.publish(range(5))

    def reached() -> bool:
        if len(stream.posted) == 5 and not added:
            added.append(stream.admin.create_partitions({stream.settings.input: 3}))
            stream.publish(range(5, 10), partition=2)
        return len(stream.posted) == 10

    added: list[Any] = []
    await stream.run(reached)
    assert stream.posted == list(range(10))


def as_alice(stream: Stream, apache: Apache) -> None:
    security = Security(protocol="SASL_PLAINTEXT", mechanism="PLAIN", username=apache.user, password=apache.secret)
    stream.settings = replace(stream.settings, broker=Broker(apache.at("SASL_PLAINTEXT"), security=security))


@pytest.mark.usefixtures("client")
async def test_input_topic_that_may_not_be_seen_ends_the_worker(stream: Stream, apache: Apache) -> None:
    stream.allow_only(ResourceType.TOPIC, stream.settings.input, "bob", ACLOperation.READ)
    as_alice(stream, apache)
    with pytest.raises(BrokerRefused, match=f"Kafka does not let this user see the topic {stream.settings.input}; grant it Describe"):
        await stream.run(lambda: False)


@pytest.mark.parametrize(("client", "kind"), [(KAFKA_PYTHON, "topic"), (CONFLUENT, "group")], indirect=["client"])
@pytest.mark.usefixtures("client")
async def test_worker_without_a_right_to_read_says_which_and_waits_for_it(stream: Stream, apache: Apache, kind: str) -> None:
    resource, name = (ResourceType.TOPIC, stream.settings.input) if kind == "topic" else (ResourceType.GROUP, stream.settings.group)
    stream.publish(range(3))
    stream.allow_only(resource, name, apache.user, ACLOperation.DESCRIBE)
    as_alice(stream, apache)
    seen: list[str] = []

    def reached() -> bool:
        if "may not read" in stream.health.unready and not seen:
            seen.append(stream.health.unready)
            stream.allow_only(resource, name, apache.user, ACLOperation.READ)
        return len(stream.posted) == 3

    await stream.run(reached)
    assert f"may not read the topic {stream.settings.input} in the group {stream.settings.group} (" in seen[0]
    assert stream.posted == [0, 1, 2]


@pytest.mark.usefixtures("client")
async def test_output_topic_that_may_not_be_written_ends_the_worker(stream: Stream, apache: Apache) -> None:
    stream.publish(range(3))
    stream.allow_only(ResourceType.TOPIC, stream.settings.output, apache.user, ACLOperation.DESCRIBE)
    as_alice(stream, apache)
    with pytest.raises(WriteFailed, match=f"Kafka does not let this user write to the topic {stream.settings.output}; grant it Write"):
        await stream.run(lambda: False)
