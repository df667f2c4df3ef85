"""What a worker makes of the records in its topic: a real broker, a real sink, and a server of the registry's API."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from eventing import deadletter
from eventing.codecs import registry
from eventing.event import Event
from eventing.kafka import lag
from eventing.kafka.factory import CLIENT, CLIENTS, cluster_of
from functions.stream import guard, stall, startup
from functions.stream.health import Health
from functions.stream.settings import Registry, StreamSettings
from functions.stream.stall import StallDetector, WorkerState
from tests.functions.stream.schema_registry import SchemaRegistry

Collect = Callable[..., list[Any]]
Serve = Callable[[Any], Awaitable[str]]
Score = Callable[[Event], Event]
Headers = list[tuple[str, str | bytes | None]]

# With its key, a record of the size that a broker accepts by default.
LARGE = 999_900
FLIGHT = {
    "type": "record",
    "name": "Flight",
    "fields": [{"name": "carrier", "type": "string"}, {"name": "distance", "type": ["null", "double"]}],
}


def avro(schema: int, value: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(FLIGHT), value)
    return registry.join(schema, target.getvalue())


def produce(settings: StreamSettings, records: list[tuple[bytes | None, bytes | None, Headers]]) -> None:
    """Write records to one partition, with the client that can write null headers and records of nothing."""
    producer = Producer({"bootstrap.servers": settings.broker.bootstrap_servers})
    for key, value, headers in records:
        producer.produce(settings.input, key=key, value=value, headers=headers, partition=0, timestamp=1_764_234_300_250)
    assert producer.flush(10) == 0


class Model:
    """A sink that keeps the events it is given."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self.events: list[Event] = []

    async def __call__(self, events: list[Event]) -> list[Event]:
        self.events += events
        return [self._score(event) for event in events]


async def move(settings: StreamSettings, collect: Collect, *, scored: int, dead: int, positions: int) -> dict[int, str]:
    """Run a worker until so many records are finished; return the reasons of the dead letters by input offset."""
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    outputs = await asyncio.to_thread(collect, settings.output, count=scored) if scored else []
    letters = await asyncio.to_thread(collect, settings.deadletter, count=dead) if dead else []
    cluster = cluster_of(settings.broker)
    while (await asyncio.to_thread(lag.lag, cluster, settings.group, settings.input))[0].records:
        assert not running.done()
    stop.set()
    await running
    found = (await asyncio.to_thread(lag.lag, cluster, settings.group, settings.input))[0]
    assert (len(outputs), len(letters), found.end, found.records) == (scored, dead, positions, 0)
    return {deadletter.origin_of(letter.headers).offset: deadletter.problem_of(letter.headers).detail for letter in letters}


class Name(str):
    """A header's name that a producer of another language may write."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff"


def produce_odd_names(settings: StreamSettings) -> None:
    broker = settings.broker
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers, api_version=broker.api_version)) as producer:
        for value in (b"1", None):
            producer.send(settings.input, value, b"N1", [("x-trace", b"7"), (Name("name"), b"1")], 0)
        producer.flush(10)


@pytest.mark.parametrize("client", CLIENTS)
async def test_each_record_is_an_event_or_a_dead_letter_with_its_reason_or_a_tombstone(
    client: str,
    settings: StreamSettings,
    collect: Collect,
    serve: Serve,
    score: Score,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CLIENT, client)
    caplog.set_level(logging.INFO, "tidegate.stream")
    model = Model(score)
    settings = replace(settings, sink=await serve(model))
    event: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"t")]
    records: list[tuple[bytes | None, bytes | None, Headers]] = [
        (b"N1", b'{"a": 1}', []),
        (b"N1", None, []),
        (None, None, []),
        (b"N1", None, [("content-type", b"application/cloudevents+json")]),
        (b"N1", b"", []),
        (b"", b"2", [("none", None), ("binary", b"\xff"), ("x-trace", b"7")]),
        (b"\xff", b"3", [("content-type", b"\xff")]),
        (b"N1", b"4", [*event, ("ce_subject", b"\xff")]),
        (b"N1", b"5", [*event, ("content-type", None)]),
        (b"N1", None, event),
        (b"N1", avro(7, {"carrier": "UA", "distance": None}), []),
        (b"N1", b"not json", []),
        (b"N1", None, []),
        (b"N1", b'"%s"' % (b"x" * LARGE), []),
    ]
    produce(settings, records)
    produce_odd_names(settings)
    reasons = await move(settings, collect, scored=5, dead=7, positions=len(records) + 2)

    of_registry = "the event's data is not JSON, but a value with the schema 7 of a registry"
    assert {offset: reason.partition(":")[0] for offset, reason in reasons.items()} == {
        4: "the event's data is not JSON",
        6: "the record's header content-type is not UTF-8; publish headers in UTF-8.",
        7: "the record's header ce_subject is not UTF-8; publish headers in UTF-8.",
        10: f"{of_registry}; set TIDEGATE_SCHEMA_REGISTRY to the registry's URL.",
        11: "the event's data is not JSON",
        14: "the record's headers cannot be read",
        15: "the record's headers cannot be read",
    }
    plain, odd, binary, without_data, large = model.events
    assert plain.attributes == {
        "specversion": "1.0",
        "type": "dev.knative.kafka.event",
        "source": f"/kafka/{settings.input}",
        "id": "partition:0/offset:0",
        "subject": "partition:0#0",
        "time": "2025-11-27T09:05:00.250Z",
        "key": "N1",
        "partitionkey": "N1",
        "datacontenttype": "application/json",
    }
    assert plain.value() == {"a": 1}
    assert {name for name in odd.attributes if name.startswith("kafkaheader")} == {"kafkaheaderxtrace"}
    assert (odd.value(), binary.value(), without_data.value()) == (2, 5, None)
    assert large.value() == "x" * LARGE
    assert caplog.messages[-1] == "stopped after 5 scored and 7 dead-lettered events; 4 tombstones were passed over"


async def test_values_of_a_registry_become_json_and_wait_while_it_is_away(
    settings: StreamSettings, collect: Collect, serve: Serve, score: Score
) -> None:
    model, away = Model(score), SchemaRegistry({7: {"schema": json.dumps(FLIGHT)}}, status=503)
    event: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/a"),
        ("ce_type", b"t"),
        ("content-type", b"avro/binary"),
    ]
    records: list[tuple[bytes | None, bytes | None, Headers]] = [
        (b"N1", b'{"carrier": "AA"}', []),
        (b"N1", avro(7, {"carrier": "UA", "distance": 12.5}), []),
        (b"N1", avro(9, {"carrier": "UA", "distance": None}), []),
        (b"N1", None, []),
        (b"N1", registry.join(7, b"\x06ab"), []),
        (b"N1", avro(7, {"carrier": "DL", "distance": float("nan")}), event),
    ]
    health, stop = Health(), asyncio.Event()
    async with away.serving() as url:
        settings = replace(settings, sink=await serve(model), registry=Registry(url=url))
        produce(settings, records)
        running = asyncio.create_task(startup.run(settings, stop, health))
        while "answered 503" not in health.unready:  # noqa: ASYNC110 the worker sets no event
            await asyncio.sleep(0.01)
        # What comes before the first record that needs the registry does not wait.
        assert len(await asyncio.to_thread(collect, settings.output, count=1)) == 1
        assert health.unready == f"the schema registry {url} answered 503: no leader"
        away.status = 200
        scored = await asyncio.to_thread(collect, settings.output, count=3)
        letters = await asyncio.to_thread(collect, settings.deadletter, count=2)
        while health.unready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.set()
        await running

    assert [item.value() for item in model.events] == [
        {"carrier": "AA"},
        {"carrier": "UA", "distance": 12.5},
        {"carrier": "DL", "distance": None},
    ]
    assert [item.get("datacontenttype") for item in model.events] == ["application/json"] * 3
    assert (model.events[1].id, model.events[2].id) == ("partition:0/offset:1", "1")
    assert [dict(record.headers)["tidegate_origin"] for record in scored] == [
        b"%s/0/%d" % (settings.input.encode(), at) for at in (0, 1, 5)
    ]
    reasons = [deadletter.problem_of(letter.headers).detail for letter in letters]
    assert reasons[0] == f"the schema registry {url} does not have the schema 9; register it, or publish to the right registry."
    assert reasons[1].startswith("the record's value does not match its Avro schema")
    assert [letter.value for letter in letters] == [records[2][1], records[4][1]]


async def test_worker_stops_while_the_registry_is_away_and_its_successor_goes_on(
    settings: StreamSettings, collect: Collect, serve: Serve, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.01)
    check, checks = StallDetector.check, asyncio.Semaphore(0)

    def counted(self: StallDetector, worker: WorkerState) -> str | None:
        checks.release()
        return check(self, worker)

    model, away = Model(score), SchemaRegistry({7: {"schema": json.dumps(FLIGHT)}})
    health, stop = Health(), asyncio.Event()
    settings = replace(settings, sink=await serve(model), registry=Registry(url="http://127.0.0.1:1"))
    produce(settings, [(None, avro(7, {"carrier": "UA", "distance": 1.0}), [])] * 300)
    running = asyncio.create_task(startup.run(settings, stop, health))
    while "cannot be reached" not in health.unready:  # noqa: ASYNC110 the worker sets no event
        await asyncio.sleep(0.01)
    with monkeypatch.context() as patch:  # records that wait for their schema are no stall, however long that takes
        patch.setattr(stall, "_PARTITION_SECONDS", 0.02)
        patch.setattr(StallDetector, "check", counted)
        for _ in range(20):
            checked = asyncio.create_task(checks.acquire())
            await asyncio.wait({checked, running}, return_when=asyncio.FIRST_COMPLETED)
            checked.cancel()
            assert not running.done()
    stop.set()
    await running
    assert model.events == []

    async with away.serving() as url:
        await move(replace(settings, registry=Registry(url=url)), collect, scored=300, dead=0, positions=300)
    assert len(model.events) == 300
    assert away.calls == ["/schemas/ids/7"]
