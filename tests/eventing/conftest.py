"""A real broker (librdkafka's mock cluster), a real HTTP server as the sink, and real worker processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from confluent_kafka import Producer
from kafka import TopicPartition

from eventing import kafka
from eventing.codecs import json
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka import Broker
from eventing.lag import LagReader
from eventing.reply import completed
from eventing.settings import StreamSettings
from eventing.stream import worker
from eventing.stream.verdict import Answered

BACKLOG = 200_000
Answer = Callable[[list[Event]], Awaitable[list[Event] | web.Response]]


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    (node,) = cluster.list_topics(timeout=10).brokers.values()
    yield Broker(f"{node.host}:{node.port}", (2, 3))
    cluster.flush(0)


@pytest.fixture
def settings(broker: Broker) -> StreamSettings:
    """A stream over topics of its own; the sink's address is to be filled in."""
    name = uuid.uuid4().hex[:8]
    return StreamSettings(
        broker=broker,
        input=f"departed-{name}",
        output=f"scored-{name}",
        deadletter=f"deadletter-{name}",
        group=f"tidegate-{name}",
        model="flights",
        sink="http://127.0.0.1:1/models/flights",
        batch_size=32,
        port=0,
        session_timeout_seconds=5,
        commit_seconds=0.2,
    )


@pytest.fixture
def publish(broker: Broker) -> Iterator[Callable[[str, list[Message]], None]]:
    """Writes messages to a topic; those with one key go to one partition."""
    producer = kafka.producer(broker)

    def publish_all(topic: str, messages: list[Message]) -> None:
        for message in messages:
            producer.send(topic, message.value, message.key, message.headers)
        producer.flush(10)

    yield publish_all
    producer.close(5)


@pytest.fixture
def collect(broker: Broker) -> Iterator[Callable[..., list[Any]]]:
    """Reads topics from their start until they have given that many records, and whatever comes in the moment after."""
    consumer, producer = kafka.consumer(broker), kafka.producer(broker)

    def collect_from(*topics: str, count: int, seconds: int = 60) -> list[Any]:
        consumer.assign([TopicPartition(topic, number) for topic in topics for number in producer.partitions_for(topic)])
        consumer.seek_to_beginning()
        records: list[Any] = []
        until = time.monotonic() + seconds
        while len(records) < count and time.monotonic() < until:
            records += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
        return records + [record for batch in consumer.poll(timeout_ms=300).values() for record in batch]

    yield collect_from
    consumer.close()
    producer.close(5)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Answer], Awaitable[str]]]:
    """Starts a sink that answers as told, and gives its URL."""
    servers: list[TestServer] = []

    async def start(answer: Answer) -> str:
        async def handle(request: web.Request) -> web.Response:
            result = await answer(json.decode_batch(await request.read()))
            if isinstance(result, web.Response):
                return result
            return web.Response(body=json.encode_batch(result), headers={"content-type": json.BATCH_MEDIA_TYPE})

        app = web.Application(client_max_size=2**26)
        app.router.add_post("/models/flights", handle)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/models/flights"))

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def launch() -> Iterator[Callable[[StreamSettings], subprocess.Popen[str]]]:
    """Starts the worker as a process, as its Deployment does."""
    processes: list[subprocess.Popen[str]] = []

    def start(settings: StreamSettings) -> subprocess.Popen[str]:
        environ = {
            **os.environ,
            "TIDEGATE_BOOTSTRAP_SERVERS": settings.broker.bootstrap_servers,
            "TIDEGATE_KAFKA_API_VERSION": "2.3",
            "TIDEGATE_STREAM_INPUT": settings.input,
            "TIDEGATE_STREAM_OUTPUT": settings.output,
            "TIDEGATE_STREAM_DEADLETTER": settings.deadletter,
            "TIDEGATE_STREAM_GROUP": settings.group,
            "TIDEGATE_STREAM_BATCH_SIZE": str(settings.batch_size),
            "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": str(settings.session_timeout_seconds),
            "TIDEGATE_STREAM_COMMIT_SECONDS": str(settings.commit_seconds),
            "TIDEGATE_STREAM_STOP_SECONDS": str(settings.stop_seconds),
            "K_SINK": settings.sink,
            "PORT": str(settings.port),
        }
        process = subprocess.Popen([sys.executable, "-m", "eventing"], env=environ, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def flight() -> Callable[[int], Message]:
    """A departure event as a record; its aircraft is its key."""

    def message(number: int) -> Message:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", b"flight-%d" % number),
            ("ce_source", b"/airline"),
            ("ce_type", b"com.airline.departed"),
            ("content-type", b"application/json"),
        ]
        return Message(b"N%d" % (number % 13), b'{"number":%d}' % number, headers)

    return message


@pytest.fixture
def score() -> Callable[[Event], Event]:
    """What a model would reply."""
    return lambda event: completed(event, "flights", "v1", {"delayed": 0.25})


@pytest.fixture
def backlog(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[None]]:
    """Publishes 200,000 records round these partitions, and has workers move them that come and go meanwhile.

    The sink answers in this process, so that nothing but Kafka takes time.
    """
    monkeypatch.setattr(worker, "Sink", QuickSink)

    async def move(settings: StreamSettings, partitions: Sequence[int], workers: int = 1) -> None:
        await asyncio.to_thread(publish_numbers, settings, partitions)
        running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []
        with LagReader(settings.broker, settings.group) as reader:
            left = BACKLOG
            while left:
                # One joins with each share of the backlog, and the one before leaves when half of the next share is done.
                if left <= BACKLOG * (1 - len(running) / workers) and len(running) < workers:
                    stop = asyncio.Event()
                    running.append((stop, asyncio.create_task(worker.run(settings, stop))))
                for number, (stop, _) in enumerate(running[:-1]):
                    if left <= BACKLOG * (1 - (number + 1.5) / workers):
                        stop.set()
                await asyncio.sleep(0.2)
                left = sum(lag.records for lag in (await asyncio.to_thread(reader.read, settings.input)).values())
                for _, task in running:
                    assert not task.done() or task.exception() is None
            for stop, task in running:
                stop.set()
                await task
            written = await asyncio.to_thread(reader.read, settings.output)
            dead = await asyncio.to_thread(reader.read, settings.deadletter)
        assert sum(lag.end for lag in written.values()) == BACKLOG
        assert not any(lag.end for lag in dead.values())

    return move


class QuickSink:
    def __init__(self, *_: object) -> None:
        self._reply = Event({"specversion": "1.0", "id": "r", "source": "/m", "type": "t"}, b"1")

    async def post(self, events: list[bytes]) -> Answered:
        await asyncio.sleep(0.001)
        return Answered([self._reply] * len(events))


def publish_numbers(settings: StreamSettings, partitions: Sequence[int]) -> None:
    producer = Producer({"bootstrap.servers": settings.broker.bootstrap_servers, "queue.buffering.max.messages": 2 * BACKLOG})
    for number in range(BACKLOG):
        producer.produce(settings.input, b"%d" % number, partition=partitions[number % len(partitions)])
    producer.flush()
