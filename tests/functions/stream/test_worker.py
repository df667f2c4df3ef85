from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from eventing import deadletter
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka import lag
from eventing.kafka.factory import CLIENT, CLIENTS, cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import ConsumerOptions, TopicPartition
from eventing.reply import Problem, failed
from functions.stream import startup
from functions.stream.assignment import Assignment
from functions.stream.commit import Commits
from functions.stream.health import Health
from functions.stream.settings import Order, StreamSettings
from functions.stream.worker import Worker

Publish = Callable[[str, list[Message]], None]
Collect = Callable[..., list[Any]]
Serve = Callable[[Any], Awaitable[str]]
Launch = Callable[[StreamSettings], subprocess.Popen[str]]
Flight = Callable[[int], Message]
Score = Callable[[Event], Event]


def causes(records: list[Any]) -> Counter[str]:
    """Count the replies of each input event, by its id."""
    counted: Counter[str] = Counter()
    for record in records:
        headers = dict(record.headers)
        counted[(headers.get("ce_causationid") or headers["ce_id"]).decode()] += 1
    return counted


def flights(count: int) -> Counter[str]:
    return Counter(f"flight-{number}" for number in range(count))


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 the worker sets no event
        await asyncio.sleep(0.01)


async def test_events_become_scored_events_and_broken_ones_dead_letters(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        problem = Problem(400, "invalid input", "the flight has no distance.")
        return [failed(event, "flights", problem) if event.id == "flight-7" else score(event) for event in events]

    settings = replace(settings, sink=await serve(answer))
    broken = [Message(b"N1", b"{no json", flight(1000).headers), Message(None, b"{}", [("ce_id", b"a"), ("ce_type", b"\xff")])]
    publish(settings.input, [flight(number) for number in range(200)] + broken)
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))

    scored = await asyncio.to_thread(collect, settings.output, count=199)
    dead = await asyncio.to_thread(collect, settings.deadletter, count=3)
    stop.set()
    await running

    assert causes(scored) == flights(200) - Counter({"flight-7": 1})
    lanes = defaultdict(list)
    for record in scored:
        topic, partition, offset = dict(record.headers)["tidegate_origin"].decode().split("/")
        assert (topic, int(partition)) == (settings.input, record.partition)
        lanes[record.key].append(int(offset))
        assert record.key == b"N%d" % (int(dict(record.headers)["ce_causationid"].decode().removeprefix("flight-")) % 13)
        assert codec.decode(record).value() == {"delayed": 0.25}
    assert all(offsets == sorted(offsets) for offsets in lanes.values())

    details = {deadletter.problem_of(record.headers).detail for record in dead}
    assert "the flight has no distance." in details
    assert any("not JSON" in detail for detail in details)
    assert any("not UTF-8" in detail for detail in details)
    originals = [deadletter.original_record(record.key, record.value, record.headers) for record in dead]
    assert {(original.key, original.value) for original in originals} == {(b"N7", b'{"number":7}'), (b"N1", b"{no json"), (None, b"{}")}

    lags = await asyncio.to_thread(lag.lag, cluster_of(settings.broker), settings.group, settings.input)
    assert sum(one.end for one in lags.values()) == 202
    assert {one.records for one in lags.values()} == {0}


@pytest.mark.parametrize("client", CLIENTS)
async def test_killed_and_restarted_worker_writes_no_duplicates(
    client: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    launch: Launch,
    flight: Flight,
    score: Score,
) -> None:
    monkeypatch.setenv(CLIENT, client)
    count, answered, kills = 2000, Counter[str](), [asyncio.Event(), asyncio.Event()]

    async def answer(events: list[Event]) -> list[Event]:
        answered.update(event.id for event in events)
        if len(answered) % 500 > 100:
            kills[min(len(answered) // 500, 1)].set()
        await asyncio.sleep(0.02)
        problem = Problem(422, "unknown model", "no such model.")
        return [failed(event, "flights", problem) if int(event.id[7:]) % 50 == 0 else score(event) for event in events]

    # Commits are rare, so that each kill comes upon much that is written and not committed.
    settings = replace(settings, sink=await serve(answer), commit_seconds=1.5)
    publish(settings.input, [flight(number) for number in range(count)])
    for due in kills:
        process = launch(settings)
        await due.wait()
        await asyncio.sleep(random.random() * 0.3)  # noqa: S311
        process.kill()
        process.wait()
    last = launch(settings)
    assert last.stderr is not None
    while "is taken up" not in await asyncio.to_thread(last.stderr.readline):
        pass
    records = await asyncio.to_thread(collect, settings.output, settings.deadletter, count=count)
    last.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(last.wait, 30) == 0
    assert causes(records) == flights(count)
    assert sum(record.topic == settings.deadletter for record in records) == count // 50


async def test_two_workers_share_the_partitions(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    seen: list[set[str]] = [set(), set()]
    joined = [asyncio.Event(), asyncio.Event()]

    def sink_of(number: int) -> Callable[[list[Event]], Awaitable[list[Event]]]:
        async def answer(events: list[Event]) -> list[Event]:
            seen[number] |= {event.id for event in events}
            joined[number].set()
            return [score(event) for event in events]

        return answer

    stop = asyncio.Event()
    urls = [await serve(sink_of(number)) for number in range(2)]
    publish(settings.input, [flight(number) for number in range(100)])
    running = [asyncio.create_task(startup.run(replace(settings, sink=urls[0]), stop))]
    await joined[0].wait()
    running.append(asyncio.create_task(startup.run(replace(settings, sink=urls[1]), stop)))
    count = 100
    while not joined[1].is_set():  # the group lets the second one in when it has asked everybody
        await asyncio.to_thread(publish, settings.input, [flight(number) for number in range(count, count + 50)])
        count += 50
        await asyncio.sleep(0.2)
    records = await asyncio.to_thread(collect, settings.output, count=count)
    stop.set()
    await asyncio.gather(*running)

    assert causes(records) == flights(count)
    assert all(seen)


async def test_only_failed_events_are_retried_and_order_is_kept(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    calls: list[list[str]] = []

    async def answer(events: list[Event]) -> list[Event] | web.Response:
        calls.append([event.id for event in events])
        if len(calls) == 1:
            return web.Response(status=503, text="no pod is ready")
        first_time = sum("flight-3" in call for call in calls[1:]) == 1
        problem = Problem(503, "upstream unreachable", "the revision does not answer.")
        return [failed(event, "flights", problem) if event.id == "flight-3" and first_time else score(event) for event in events]

    settings = replace(settings, sink=await serve(answer), in_flight=1)
    publish(settings.input, [Message(b"N1", b"{}", flight(number).headers) for number in range(10)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    records = await asyncio.to_thread(collect, settings.output, count=10)
    stop.set()
    await running

    assert Counter(event for call in calls[1:] for event in call) == flights(10) + Counter({"flight-3": 1})
    assert [dict(record.headers)["ce_causationid"].decode() for record in records] == [f"flight-{number}" for number in range(10)]


def failing(held: asyncio.Event, score: Score, aircraft: int = 5) -> Callable[[list[Event]], Awaitable[list[Event]]]:
    """Return a model that has no answer for the events of one aircraft while they are held."""
    problem = Problem(503, "not ready", "this aircraft is not known yet.")

    async def answer(events: list[Event]) -> list[Event]:
        return [
            failed(event, "flights", problem) if held.is_set() and number_of(event.id) % 13 == aircraft else score(event)
            for event in events
        ]

    return answer


def number_of(name: str) -> int:
    return int(name.removeprefix("flight-"))


def lane(records: list[Any], aircraft: int) -> list[int]:
    """Return the flights of an aircraft in the order of their replies."""
    found = [number_of(dict(record.headers)["ce_causationid"].decode()) for record in records]
    return [number for number in found if number % 13 == aircraft]


async def test_retried_event_holds_up_only_its_key(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    held = asyncio.Event()
    held.set()
    settings = replace(settings, sink=await serve(failing(held, score)))
    publish(settings.input, [flight(number) for number in range(260)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    others = await asyncio.to_thread(collect, settings.output, count=240)
    held.clear()
    records = await asyncio.to_thread(collect, settings.output, count=260)
    stop.set()
    await running

    assert not lane(others, 5)
    assert causes(records) == flights(260)
    for aircraft in range(13):
        assert lane(records, aircraft) == list(range(aircraft, 260, 13))


async def test_retried_event_holds_up_its_partition_if_that_is_asked_for(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    held = asyncio.Event()
    held.set()
    settings = replace(settings, sink=await serve(failing(held, score)), order=Order.PARTITION)
    publish(settings.input, [Message(b"one", flight(number).value, flight(number).headers) for number in range(40)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    before = await asyncio.to_thread(collect, settings.output, count=5)
    held.clear()
    records = await asyncio.to_thread(collect, settings.output, count=40)
    stop.set()
    await running

    assert causes(before) == flights(5)
    assert [dict(record.headers)["ce_causationid"].decode() for record in records] == [f"flight-{number}" for number in range(40)]


async def test_worker_killed_while_a_key_is_retried_writes_no_duplicates(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, launch: Launch, flight: Flight, score: Score
) -> None:
    held = asyncio.Event()
    held.set()
    settings = replace(settings, sink=await serve(failing(held, score)))
    publish(settings.input, [flight(number) for number in range(130)])
    killed = launch(settings)
    await asyncio.to_thread(collect, settings.output, count=120)
    publish(settings.input, [flight(number) for number in range(130, 260)])
    others = await asyncio.to_thread(collect, settings.output, count=240)
    killed.kill()
    held.clear()
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    records = await asyncio.to_thread(collect, settings.output, count=260)
    stop.set()
    await running

    assert not lane(others, 5)
    assert causes(records) == flights(260)
    assert lane(records, 5) == list(range(5, 260, 13))


async def test_event_that_fails_its_batch_is_found(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    async def answer(events: list[Event]) -> list[Event] | web.Response:
        if any(event.id == "flight-11" for event in events):
            return web.Response(status=413, text="the batch is too large")
        return [score(event) for event in events]

    settings = replace(settings, sink=await serve(answer))
    publish(settings.input, [flight(number) for number in range(40)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    records = await asyncio.to_thread(collect, settings.output, settings.deadletter, count=40)
    stop.set()
    await running

    assert causes(records) == flights(40)
    (dead,) = [record for record in records if record.topic == settings.deadletter]
    assert deadletter.problem_of(dead.headers).detail == "the sink answered 413: the batch is too large"
    assert dict(dead.headers)["ce_knativeerrorcode"] == b"413"


async def test_event_that_fails_too_long_is_dead_lettered(
    settings: StreamSettings, publish: Publish, collect: Collect, flight: Flight
) -> None:
    settings = replace(settings, retry_seconds=0.5)  # and its sink does not listen
    publish(settings.input, [flight(number) for number in range(3)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    records = await asyncio.to_thread(collect, settings.deadletter, count=3)
    stop.set()
    await running

    assert causes(records) == flights(3)
    problem = deadletter.problem_of(records[0].headers)
    assert problem.status == 503
    assert "127.0.0.1:1/models/flights cannot be reached" in problem.detail
    assert int(dict(records[0].headers)["tidegate_attempts"]) > 1


async def test_event_nested_too_deeply_is_dead_lettered_alone(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, flight: Flight, score: Score
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    settings = replace(settings, sink=await serve(answer))
    attributes = b'{"specversion":"1.0","id":"deep","source":"/airline","type":"t","data":'
    deep = Message(None, attributes + b"[" * 300 + b"]" * 300 + b"}", [("content-type", b"application/cloudevents+json")])
    publish(settings.input, [flight(0), deep, flight(1)])
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop))
    scored = await asyncio.to_thread(collect, settings.output, count=2)
    (dead,) = await asyncio.to_thread(collect, settings.deadletter, count=1)
    stop.set()
    await running

    assert causes(scored) == flights(2)
    assert deadletter.original_record(dead.key, dead.value, dead.headers).value == deep.value
    assert "send data with at most 254 levels" in deadletter.problem_of(dead.headers).detail


async def test_stop_does_not_wait_for_a_hanging_sink_and_commits(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, launch: Launch, flight: Flight, score: Score
) -> None:
    hanging, over = asyncio.Event(), asyncio.Event()

    async def answer(events: list[Event]) -> list[Event]:
        if any(int(event.id[7:]) >= 50 for event in events):
            hanging.set()
            await over.wait()
        return [score(event) for event in events]

    settings = replace(settings, sink=await serve(answer), commit_seconds=3600, stop_seconds=3)
    publish(settings.input, [flight(number) for number in range(50)])
    process = launch(settings)
    await asyncio.to_thread(collect, settings.output, count=50)
    publish(settings.input, [flight(number) for number in range(50, 60)])
    await hanging.wait()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = await asyncio.to_thread(process.wait, 30)
    took = time.monotonic() - began
    over.set()

    assert status == 0
    assert took < settings.stop_seconds + 2
    lags = await asyncio.to_thread(lag.lag, cluster_of(settings.broker), settings.group, settings.input)
    assert sum(one.records for one in lags.values()) == 10


async def test_revoked_partition_is_committed_and_late_results_are_dropped(
    settings: StreamSettings,
    publish: Publish,
    collect: Collect,
    serve: Serve,
    flight: Flight,
    score: Score,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, over, joined = asyncio.Event(), asyncio.Event(), asyncio.Event()
    released, given_back = Assignment.released, list[Commits]()

    async def release(self: Assignment, partitions: set[int]) -> Commits:
        given_back.append(await released(self, partitions))
        return given_back[-1]

    monkeypatch.setattr(Assignment, "released", release)

    async def slow(events: list[Event]) -> list[Event]:
        if any(int(event.id[7:]) >= 100 for event in events):
            held.set()
            await over.wait()
        return [score(event) for event in events]

    async def quick(events: list[Event]) -> list[Event]:
        joined.set()
        return [score(event) for event in events]

    # Without commits between, which would leave none to the revocation.
    settings = replace(settings, commit_seconds=3600)
    stop = asyncio.Event()
    publish(settings.input, [flight(number) for number in range(100)])
    running = [asyncio.create_task(startup.run(replace(settings, sink=await serve(slow)), stop))]
    await asyncio.to_thread(collect, settings.output, count=100)
    await asyncio.to_thread(publish, settings.input, [flight(number) for number in range(100, 200)])
    await held.wait()
    running.append(asyncio.create_task(startup.run(replace(settings, sink=await serve(quick)), stop)))
    await joined.wait()
    over.set()
    records = await asyncio.to_thread(collect, settings.output, count=200)
    stop.set()
    await asyncio.gather(*running)

    assert sum(found.offset for found in given_back[0].values()) == 100
    assert causes(records) == flights(200)


async def test_renamed_output_topic_gets_no_duplicates(
    settings: StreamSettings, publish: Publish, collect: Collect, serve: Serve, launch: Launch, flight: Flight, score: Score
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    settings = replace(settings, sink=await serve(answer), commit_seconds=3600)
    publish(settings.input, [flight(number) for number in range(50)])
    first = launch(settings)
    await asyncio.to_thread(collect, settings.output, count=50)
    first.kill()
    first.wait()
    publish(settings.input, [flight(number) for number in range(50, 60)])
    second = launch(replace(settings, output=f"{settings.output}-renamed"))
    records = await asyncio.to_thread(collect, f"{settings.output}-renamed", count=10)
    second.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(second.wait, 30) == 0
    assert causes(records) == flights(60) - flights(50)
    lags = await asyncio.to_thread(lag.lag, cluster_of(settings.broker), settings.group, settings.input)
    assert sum(one.records for one in lags.values()) == 0


async def test_bug_in_a_round_still_stops_the_worker_in_order(
    settings: StreamSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Worker) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "_round", fail)
    caplog.set_level("INFO")
    with pytest.raises(ZeroDivisionError):
        await startup.run(settings, asyncio.Event())
    assert caplog.messages[-1].startswith("stopped after 0 scored")


def test_unreachable_broker_is_one_sentence(settings: StreamSettings, launch: Launch) -> None:
    broker = replace(settings.broker, bootstrap_servers="127.0.0.1:1")
    process = launch(replace(settings, broker=broker))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("name", ["TIDEGATE_STREAM_INPUT", "K_SINK"])
def test_missing_setting_is_one_sentence(settings: StreamSettings, launch: Launch, name: str) -> None:
    process = launch(replace(settings, **{"TIDEGATE_STREAM_INPUT": {"input": ""}, "K_SINK": {"sink": ""}}[name]))  # type: ignore[arg-type]
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"{name} is not set" in errors
    assert "Traceback" not in errors


async def test_worker_on_the_in_memory_cluster_retries_when_kafka_is_away(
    settings: StreamSettings, serve: Serve, flight: Flight, score: Score
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    cluster, health, stop = FakeCluster(partitions=2), Health(), asyncio.Event()
    settings = replace(settings, sink=await serve(answer))
    producer, reader = cluster.producer(), cluster.consumer(ConsumerOptions(group=settings.group))
    running = asyncio.create_task(startup.run(settings, stop, health, cluster))
    await until(lambda: not health.unready)
    cluster.set_reachable(False)
    await until(lambda: "no Kafka broker answers in memory" in health.unready)
    cluster.set_reachable(True)
    for number in range(100):
        producer.send(settings.input, flight(number))
    source = [TopicPartition(settings.input, number) for number in range(2)]
    ends = reader.end_offsets(source)
    await until(lambda: all((found := reader.committed(each)) is not None and found.offset >= ends[each] for each in source))
    stop.set()
    await running

    outputs = [TopicPartition(settings.output, number) for number in range(2)]
    reader.assign(outputs)
    records = [record for _ in range(2) for batch in reader.poll(0).values() for record in batch]
    assert causes(records) == flights(100)
