"""Exactly-once delivery on Apache Kafka: workers that are killed, suspended, or cut off in the middle of a transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka import lag
from eventing.kafka.factory import CLIENT, CLIENTS, cluster_of
from eventing.kafka.port import Broker, Consumer, ConsumerOptions, TopicPartition
from functions.stream import startup
from functions.stream.settings import Guarantee, StreamSettings
from tests.fixtures.proxies import END_TXN

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache
    from tests.fixtures.proxies import Proxy

PARTITIONS = 3
SECONDS = 60.0
SESSION_SECONDS = 6.0  # brokers accept no shorter one
Serve = Callable[[Any], Awaitable[str]]


class Stream:
    """A stream with its own topics, its workers, and what a reader of committed records sees of it."""

    def __init__(self, apache: Apache, client: str, stack: ExitStack) -> None:
        self.name = uuid.uuid4().hex[:8]
        self.servers = apache.at("PLAINTEXT")
        self.topics = {each: f"{each}-{self.name}" for each in ("input", "output", "deadletter")}
        self.environ = {CLIENT: client}
        self.cluster = cluster_of(Broker(self.servers), self.environ)
        self.sink = ""
        self._stack = stack
        with closing(KafkaAdminClient(bootstrap_servers=self.servers)) as admin:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in self.topics.values()])
        self._producer = stack.enter_context(closing(self.cluster.producer()))
        self._reader: Consumer = stack.enter_context(closing(self.cluster.consumer(ConsumerOptions(read_committed=True))))
        self._reader.assign(
            [TopicPartition(self.topics[each], number) for each in ("output", "deadletter") for number in range(PARTITIONS)]
        )
        self._published = Counter[str]()
        self._seen = Counter[str]()

    def settings(self, servers: str = "", **changes: Any) -> StreamSettings:
        given = {"broker": Broker(servers or self.servers), "group": self.name, "model": "flights", "sink": self.sink, "port": 0}
        fast = {"session_timeout_seconds": SESSION_SECONDS, "commit_seconds": 0.2, "batch_size": 8, "delivery": Guarantee.EXACTLY_ONCE}
        return StreamSettings(**{**self.topics, **given, **fast, **changes})

    def launch(self, servers: str = "", **environ: str) -> subprocess.Popen[str]:
        """Start a worker as a process."""
        stream = {
            **{each.upper(): topic for each, topic in self.topics.items()},
            "GROUP": self.name,
            "DELIVERY": "exactly-once",
            "SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "BATCH_SIZE": "8",
        }
        given = {"TIDEGATE_BOOTSTRAP_SERVERS": servers or self.servers, "K_SINK": self.sink, "PORT": "0"}
        given |= {f"TIDEGATE_STREAM_{name}": value for name, value in {**stream, **environ}.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "functions.stream"], env={**os.environ, **self.environ, **given}, stderr=subprocess.PIPE, text=True
        )
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        return process

    def publish(self, count: int, make: Callable[[int], Message]) -> None:
        first = self._published.total()
        for number in range(first, first + count):
            self._producer.send(self.topics["input"], make(number))
            self._published[f"flight-{number}"] += 1
        self._producer.flush(10)

    def read(self) -> None:
        for records in self._reader.poll(0.05).values():
            for record in records:
                headers = dict(record.headers)
                self._seen[(headers.get("ce_causationid") or headers["ce_id"] or b"").decode()] += 1

    def wait_until_answered(self) -> None:
        """Wait until each event has an answer, and the group has finished all of them."""
        until = time.monotonic() + SECONDS
        while (self._seen.total() < self._published.total() or self.behind()) and time.monotonic() < until:
            self.read()
        self.read()
        assert self._seen == self._published

    def behind(self) -> int:
        return sum(found.records for found in lag.lag(self.cluster, self.name, self.topics["input"]).values())


@pytest.fixture(params=CLIENTS)
def stream(request: pytest.FixtureRequest, apache: Apache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    monkeypatch.setenv(CLIENT, request.param)
    with ExitStack() as stack:
        yield Stream(apache, request.param, stack)


@pytest.fixture
def score_all(score: Callable[[Event], Event]) -> Callable[[list[Event]], Awaitable[list[Event]]]:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    return answer


async def test_killed_worker_leaves_nothing_of_its_open_transaction(
    stream: Stream, proxy: Proxy, serve: Serve, score_all: Any, flight: Callable[[int], Message]
) -> None:
    stream.sink = await serve(score_all)
    stream.publish(40, flight)
    proxy.hold(END_TXN)
    # A static member, whose successor does not wait for the end of its session.
    killed = stream.launch(proxy.servers, INSTANCE="worker-0")
    held = await asyncio.to_thread(proxy.held)
    killed.kill()
    stream.launch(INSTANCE="worker-0")
    await asyncio.to_thread(stream.wait_until_answered)
    held.release()
    stream.publish(40, flight)
    await asyncio.to_thread(stream.wait_until_answered)


async def test_suspended_worker_writes_nothing_that_its_successor_has_done(
    stream: Stream, proxy: Proxy, serve: Serve, score_all: Any, flight: Callable[[int], Message]
) -> None:
    stream.sink = await serve(score_all)
    stream.publish(40, flight)
    proxy.hold(END_TXN)
    zombie = stream.launch(proxy.servers)
    held = await asyncio.to_thread(proxy.held)
    zombie.send_signal(signal.SIGSTOP)
    successor = stream.launch()
    await asyncio.to_thread(stream.wait_until_answered)
    zombie.send_signal(signal.SIGCONT)
    held.release()
    successor.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(successor.wait, SECONDS) == 0
    stream.publish(40, flight)
    await asyncio.to_thread(stream.wait_until_answered)
    zombie.send_signal(signal.SIGTERM)
    _, output = await asyncio.to_thread(zombie.communicate, None, SECONDS)
    assert zombie.returncode == 0
    assert f"transaction of {stream.name} was not committed" in output
    assert "Traceback" not in output


async def test_transaction_in_doubt_is_settled_and_its_end_does_not_tear_the_next(
    stream: Stream, proxy: Proxy, serve: Serve, score_all: Any, flight: Callable[[int], Message], caplog: pytest.LogCaptureFixture
) -> None:
    stream.sink = await serve(score_all)
    stream.publish(40, flight)
    stop = asyncio.Event()
    proxy.hold(END_TXN)
    worker = asyncio.create_task(startup.run(stream.settings(proxy.servers), stop))
    held = await asyncio.to_thread(proxy.held)
    stream.publish(40, flight)
    held.disconnect()
    await asyncio.to_thread(stream.read)
    held.release()
    await asyncio.to_thread(stream.wait_until_answered)
    stop.set()
    await worker
    assert "a transaction of" in caplog.text
