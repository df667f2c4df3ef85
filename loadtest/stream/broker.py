"""One broker of Apache Kafka, with the topics of the runs."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from common.errors import TidegateError
from common.ports import stable_ports
from loadtest.chaos import apache
from loadtest.chaos.apache import CONTROLLER, DIRECT
from loadtest.stream.job import deadletter_of
from loadtest.stream.records import PARTITIONS, Records

QUIET = {"log_level": 2}
"""For clients that meet a broker while it starts or ends."""
_FLUSH_SECONDS = 300.0
_ADMIN_SECONDS = 30.0


class NotProduced(TidegateError):
    """The records of the input were not all accepted."""


class Kafka:
    """The topics of a running broker."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, **QUIET})
        self._numbers = itertools.count(1)

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        """Create a topic, and return its name, which is new."""
        topic = f"{name}-{next(self._numbers)}"
        self._create(NewTopic(topic, partitions, 1))
        return topic

    @contextmanager
    def output(self, name: str, partitions: int = PARTITIONS) -> Iterator[str]:
        """Create a topic for results, with one for dead letters, and remove both after the block."""
        topic = self.topic(name, partitions)
        letters = deadletter_of(topic)
        self._create(NewTopic(letters, partitions, 1))
        try:
            yield topic
        finally:
            self.remove(topic, letters)

    def remove(self, *topics: str) -> None:
        for removed in self._admin.delete_topics(list(topics)).values():
            removed.result(_ADMIN_SECONDS)

    def _create(self, topic: NewTopic) -> None:
        (made,) = self._admin.create_topics([topic]).values()
        made.result(_ADMIN_SECONDS)

    def fill(self, topic: str, records: Records, count: int) -> None:
        """Produce the first `count` records. Raises NotProduced."""
        failed: list[Any] = []
        producer: Any = Producer(
            {"bootstrap.servers": self.servers, "linger.ms": 20, "batch.size": 262_144, "enable.idempotence": True, **QUIET}
        )
        for number in range(count):
            while True:
                try:
                    producer.produce(
                        topic,
                        records.value(number),
                        records.key(number),
                        records.partition(number),
                        on_delivery=lambda error, _: failed.append(error) if error else None,
                        headers=records.headers(number),
                    )
                except BufferError:
                    producer.poll(0.05)
                else:
                    break
            if number % 1_000 == 0:
                producer.poll(0)
        if producer.flush(_FLUSH_SECONDS) or failed:
            raise NotProduced(f"{topic} has not all of its {count} records: {failed[0] if failed else 'it takes too long'}.")


@contextmanager
def kafka(folder: Path) -> Iterator[Kafka]:
    """Start a broker with its data and log in a folder, and end it with the block. Raises TidegateError."""
    jars = apache.libraries()
    _clear(folder)
    control, direct = stable_ports(2)
    broker = apache.Broker(0, [{CONTROLLER: control, DIRECT: direct}], {}, folder)
    broker.format(jars, apache.cluster_id())
    try:
        asyncio.run(broker.start())
        yield Kafka(f"127.0.0.1:{direct}")
    finally:
        asyncio.run(broker.terminate())
        _clear(folder)


def _clear(folder: Path) -> None:
    """Remove the data, also of a broker that was killed."""
    for data in folder.glob("data-*"):
        shutil.rmtree(data, ignore_errors=True)
