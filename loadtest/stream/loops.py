"""Plain loops: the limit of one process with each client, and one event a request, as it is often written.

`python -m loadtest.stream.loops limit-kafka-python --servers … --input …`. The limit consumes, parses, predicts in
batches and produces, and keeps none of the worker's promises. The other calls the function for each event, 64 at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson

from loadtest.stream.job import Job, parse
from loadtest.stream.records import data_of, reply

_POLLED = 1_024
_BATCH = 256
_IN_FLIGHT = 64
_LINGER_MS = 5
_BATCH_BYTES = 65_536
# kafka-python has no bound of what waits to be sent: the records of so many polls may.
_POLLS_OUTSTANDING = 8


class Read(NamedTuple):
    """A record as both clients give it."""

    key: bytes
    value: bytes
    partition: int
    headers: Sequence[tuple[str, bytes]]


Poll = Callable[[], list[Read]]
Send = Callable[[Read, bytes, list[tuple[str, bytes]]], None]


def _kafka_python(job: Job) -> tuple[Poll, Send]:
    from kafka import KafkaConsumer, KafkaProducer

    consumer = KafkaConsumer(
        job.input, bootstrap_servers=job.servers, group_id=job.group, auto_offset_reset="earliest", max_poll_records=_POLLED
    )
    producer = KafkaProducer(bootstrap_servers=job.servers, linger_ms=_LINGER_MS, batch_size=_BATCH_BYTES)
    sent: list[Any] = []
    outstanding: deque[Any] = deque()

    def poll() -> list[Read]:
        if sent:
            outstanding.append(sent[-1])
            sent.clear()
            if len(outstanding) > _POLLS_OUTSTANDING:
                outstanding.popleft().get(60)
        found = consumer.poll(timeout_ms=100)
        return [Read(record.key, record.value, record.partition, record.headers) for records in found.values() for record in records]

    def send(read: Read, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        sent.append(producer.send(job.output, key=read.key, value=value, headers=headers, partition=read.partition))
        del sent[:-1]

    return poll, send


def _confluent(job: Job) -> tuple[Poll, Send]:
    from confluent_kafka import Consumer, Producer

    consumer: Any = Consumer({"bootstrap.servers": job.servers, "group.id": job.group, "auto.offset.reset": "earliest"})
    consumer.subscribe([job.input])
    producer: Any = Producer({"bootstrap.servers": job.servers, "linger.ms": _LINGER_MS, "enable.idempotence": True})

    def poll() -> list[Read]:
        producer.poll(0)
        found = [record for record in consumer.consume(_POLLED, 0.1) if record.error() is None]
        return [Read(record.key(), record.value(), record.partition(), record.headers()) for record in found]

    def send(read: Read, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                producer.produce(job.output, value, read.key, read.partition, headers=headers)
            except BufferError:
                producer.poll(0.01)
            else:
                return

    return poll, send


def _limit(job: Job, poll: Poll, send: Send) -> None:
    from loadtest.stream.scoring import Model

    model = Model(Path(job.model))
    while True:
        for part in _parts(poll()):
            data = [data_of(read.value) for read in part]
            for read, record, score in zip(part, data, model.predict(data), strict=True):
                send(read, *reply(record["flight"], score))


def _parts(records: list[Read]) -> Iterator[list[Read]]:
    for start in range(0, len(records), _BATCH):
        yield records[start : start + _BATCH]


async def _single(job: Job, poll: Poll, send: Send) -> None:
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def call(read: Read) -> None:
        headers = {_http_name(name): value.decode() for name, value in read.headers}
        async with slots, session.post(job.sink, data=read.value, headers=headers) as response:
            body = await response.read()
            response.raise_for_status()
        send(read, *reply(headers["ce-id"], orjson.loads(body)["late"]))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_IN_FLIGHT)) as session:
        while True:
            await asyncio.gather(*map(call, await asyncio.to_thread(poll)))


def _http_name(name: str) -> str:
    return f"ce-{name[3:]}" if name.startswith("ce_") else name


_CLIENTS = {"kafka-python": _kafka_python, "confluent": _confluent}
_CHOICES = [f"{way}-{client}" for way in ("limit", "single") for client in _CLIENTS]


def main() -> None:
    choice, job = parse(_CHOICES)
    way, _, client = choice.partition("-")
    poll, send = _CLIENTS[client](job)
    if way == "limit":
        _limit(job, poll, send)
    else:
        asyncio.run(_single(job, poll, send))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
