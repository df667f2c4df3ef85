"""Quix Streams with the model in its process, or a call of the function: run by the Python of its own environment.

`python -m loadtest.stream.quix model|call|batch --servers … --input …`. Its defaults are kept. `batch` is the sink of
batches that its documentation gives for other systems: it has the records of a checkpoint at once.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch

from loadtest.stream.job import Job, parse
from loadtest.stream.records import data_of, reply

_BATCH = 256


class _Function:
    """The function, on one connection that is kept."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port)

    def post(self, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> Any:
        for attempt in range(2):
            try:
                self._connection.request("POST", self._parts.path, body, {"content-type": content_type, **(headers or {})})
                answer = self._connection.getresponse()
                found = answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):  # the server closes a connection that is idle
                self._connection.close()
                if attempt:
                    raise
            else:
                break
        if answer.status != 200:
            raise RuntimeError(f"the function answered {answer.status}: {found[:200]!r}")
        return orjson.loads(found)


class _Batches(BatchingSink):  # type: ignore[misc]
    """Posts the records of a checkpoint in batches of events, and produces the replies."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._producer: Any = None

    def setup(self) -> None:
        from confluent_kafka import Producer

        self._function = _Function(self._job.sink)
        self._producer = Producer({"bootstrap.servers": self._job.servers, "linger.ms": 5, "enable.idempotence": True})

    def write(self, batch: SinkBatch) -> None:
        for part in _parts(list(batch)):
            events = [_event(item.value, item.key) for item in part]
            replies = self._function.post(orjson.dumps(events), "application/cloudevents-batch+json")
            for item, answer in zip(part, replies, strict=True):
                value, headers = reply(answer["causationid"], answer["data"]["late"])
                self._produce(item.key, value, headers)
        self._producer.flush()

    def _produce(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self._producer.produce(self._job.output, value, key, headers=headers)
            except BufferError:
                self._producer.poll(0.01)
            else:
                return


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _event(value: bytes, key: bytes) -> dict[str, Any]:
    data = data_of(value)
    attributes = {"specversion": "1.0", "type": "com.example.flight.departed", "source": "/airlines/UA", "partitionkey": key.decode()}
    return {**attributes, "id": str(data["flight"]), "datacontenttype": "application/json", "data": data}


def main() -> None:
    choice, job = parse(["model", "call", "batch"])
    app = Application(
        broker_address=job.servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=job.state,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(job.input, value_deserializer="bytes", key_deserializer="bytes"))
    output = app.topic(job.output, value_serializer="bytes", key_serializer="bytes")
    if choice == "batch":
        frame.sink(_Batches(job))
    else:
        frame = frame.apply(_in_process(job) if choice == "model" else _called(job))
        frame.set_headers(lambda result, *_: result[1]).apply(lambda result: result[0]).to_topic(output)
    app.run()


def _in_process(job: Job) -> Any:
    from loadtest.stream.scoring import Model

    model = Model(Path(job.model))

    def score(value: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
        data = data_of(value)
        return reply(data["flight"], model.predict([data])[0])

    return score


def _called(job: Job) -> Any:
    function = _Function(job.sink)

    def call(value: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
        number = data_of(value)["flight"]
        headers = {"ce-specversion": "1.0", "ce-type": "com.example.flight.departed", "ce-source": "/airlines/UA", "ce-id": str(number)}
        return reply(number, function.post(value, "application/json", headers)["late"])

    return call


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
