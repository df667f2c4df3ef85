"""What a scrape shows of a worker: on a cluster in memory, and of a whole worker with a real broker and sink."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventing.codecs import registry
from eventing.codecs.kafka import Message
from eventing.codecs.registry import Reader
from eventing.event import Event
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker
from eventing.reply import Problem, failed
from functions.stream import guard, startup
from functions.stream.assignment import Assignment
from functions.stream.checkpoint import Checkpoint
from functions.stream.commit import CheckpointCommits
from functions.stream.health import Health
from functions.stream.input import Input
from functions.stream.intake import Intake
from functions.stream.metrics import Metrics, PartitionLag, exposition
from functions.stream.observation import MeasuredSink, Observation
from functions.stream.partition import PartitionTracker
from functions.stream.report import Tally
from functions.stream.schemas import RegistryUnavailable, Schemas
from functions.stream.settings import Registry, StreamSettings
from functions.stream.sink import Failure, Success
from functions.stream.topics import Topics
from functions.stream.writer import Writer

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)
WALL = 1_700_000_000.0


@dataclass(frozen=True)
class Record:
    offset: int
    timestamp: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = b"1"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


@dataclass
class Fetched:
    """The position of a client in partition 0."""

    offset: int | None

    def positions(self) -> dict[int, int | None]:
        return {0: self.offset}


class Observed:
    """An observation of partition 0, whose clocks and client are set by the test."""

    def __init__(self, position: int, fetched: int | None, schemas: Schemas | None = None) -> None:
        cluster = FakeCluster(partitions=1)
        self.fetched = Fetched(fetched)
        self.now = 1000.0
        self.tracker = PartitionTracker(0, position, Checkpoint({}))
        self.intake = Intake(schemas)
        settings = SETTINGS if schemas is None else replace(SETTINGS, registry=Registry(url="http://registry"))
        input_ = Input(cluster, SETTINGS)
        writer = Writer(cluster.producer(), SETTINGS, Topics({"out": 1, "dead": 1}), lambda error: None)
        commits = CheckpointCommits(cluster, SETTINGS, input_, writer.targets)
        assignment = Assignment(SETTINGS, input_, writer, commits)
        assignment.trackers[0] = self.tracker
        consumer = cast("Input", self.fetched)
        self.observation = Observation(settings, assignment, consumer, self.intake, Tally(), lambda: self.now, lambda: WALL)

    @property
    def lag(self) -> PartitionLag | None:
        return self.observation.read().lags.get(0)


async def test_lag_is_the_age_of_the_first_unfinished_record() -> None:
    observed = Observed(5, 8)
    for offset in range(5, 8):
        observed.tracker.add(Record(offset, round((WALL - 90 + offset) * 1000)))
    assert observed.lag == PartitionLag(3, 85.0)
    observed.observation.note({0: 20})
    assert observed.lag == PartitionLag(15, 85.0)


async def test_records_that_wait_for_their_schema_are_lag() -> None:
    observed = Observed(5, 8)
    observed.intake.add(observed.tracker, [Record(offset, round((WALL - 60) * 1000)) for offset in range(5, 8)])
    assert observed.lag == PartitionLag(3, 60.0)
    assert observed.observation.read().unfinished == 3


async def test_registry_is_down_while_records_wait_for_it() -> None:
    async def fetch(_: int) -> Reader:
        raise RegistryUnavailable("the registry did not answer in time.")

    schemas = Schemas(fetch)
    observed = Observed(5, 5, schemas)
    assert observed.observation.read().registry_answers is True
    observed.intake.add(observed.tracker, [Record(5, 0, value=registry.join(7, b"2"))])
    assert list(observed.intake.decoded()) == []
    await until(lambda: bool(schemas.trouble))
    assert observed.observation.read().registry_answers is False
    await schemas.close()


async def test_records_that_are_finished_beyond_a_retried_one_are_no_lag() -> None:
    observed = Observed(5, 8)
    first, second, third = (observed.tracker.add(Record(offset, round((WALL - 90 + offset) * 1000))) for offset in range(5, 8))
    assert first is not None
    assert second is not None
    assert third is not None
    observed.tracker.finish([second, third])
    assert observed.lag == PartitionLag(1, 85.0)


async def test_markers_of_transactions_are_no_lag() -> None:
    observed = Observed(5, 6)  # the client has moved over a marker at offset 5
    observed.observation.note({0: 6})
    assert observed.lag == PartitionLag(0, 0.0)


async def test_records_that_are_not_read_yet_age_from_when_they_were_seen() -> None:
    observed = Observed(5, 5)
    observed.observation.note({0: 9})
    observed.now += 30
    assert observed.lag == PartitionLag(4, 30.0)


@pytest.mark.parametrize("timestamp", [0, 1, -1, 2**62])
async def test_wrong_timestamps_and_clocks_stay_within_what_was_seen(timestamp: int) -> None:
    observed = Observed(5, 5)
    observed.observation.note({0: 5})
    observed.now += 10
    observed.observation.note({0: 6})
    observed.tracker.add(Record(5, timestamp))
    observed.fetched.offset = 6
    observed.now += 20
    lag = observed.lag
    assert lag is not None
    assert lag.records == 1
    assert 20 <= lag.seconds <= 30


async def test_unknown_position_and_revoked_partition_have_no_lag() -> None:
    observed = Observed(5, None)
    observed.observation.note({0: 100, 7: 100})
    assert observed.lag is None


async def test_calls_are_measured_and_a_cancelled_one_is_no_longer_in_flight() -> None:
    metrics, begun = Metrics(), asyncio.Event()

    class Sink:
        async def post(self, events: list[bytes]) -> Success | Failure:
            if len(events) == 1:
                return Failure(Problem(429, "overloaded", "try later."))
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    sink = MeasuredSink(Sink(), metrics)
    await sink.post([b"{}"])
    call = asyncio.create_task(sink.post([b"{}"] * 3))
    await begun.wait()
    assert scraped(metrics)["tidegate_stream_calls_in_flight"] == 1
    call.cancel()
    await asyncio.wait({call})
    found = scraped(metrics)
    assert found["tidegate_stream_calls_in_flight"] == 0
    assert (found["tidegate_stream_calls_total 4xx"], found["tidegate_stream_calls_total none"]) == (1, 1)
    assert (found["tidegate_stream_batch_events_count"], found["tidegate_stream_batch_events_sum"]) == (2, 4)


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 the worker sets no event
        await asyncio.sleep(0.02)


def scraped(metrics: Metrics) -> dict[str, float]:
    """Return the samples by name and their last label; those of partitions are added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition(metrics.collect()).decode()):
        for sample in family.samples:
            labels = [text for name, text in sample.labels.items() if name in ("code", "phase", "result", "change", "le")]
            name = " ".join([sample.name, *labels])
            found[name] = found.get(name, 0) + sample.value
    return found


async def test_scrape_shows_what_a_worker_does(
    settings: StreamSettings,
    publish: Callable[[str, list[Message]], None],
    serve: Callable[[Any], Awaitable[str]],
    flight: Callable[[int], Message],
    score: Callable[[Event], Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.05)
    answering, calls = asyncio.Event(), 0

    async def answer(events: list[Event]) -> list[Event]:
        nonlocal calls
        calls += 1
        await answering.wait()
        if calls % 2:
            return [failed(event, "flights", Problem(503, "not ready", "no replica.")) for event in events]
        problem = Problem(400, "invalid input", "no distance.")
        return [failed(event, "flights", problem) if event.id == "flight-7" else score(event) for event in events]

    settings, health, stop = replace(settings, sink=await serve(answer)), Health(), asyncio.Event()
    publish(settings.input, [flight(number) for number in range(60)])
    published = time.time()
    running = asyncio.create_task(startup.run(settings, stop, health))

    def read() -> dict[str, float]:
        assert not running.done()
        return scraped(health.metrics)

    await until(lambda: read().get("kafka_consumergroup_lag", 0) == 60 and read()["tidegate_stream_calls_in_flight"] > 0)
    behind, age = read(), time.time() - published
    assert behind["tidegate_stream_unfinished_records"] <= 60
    # Each partition with records is behind by about the time since they were published.
    partitions = sum(lag.seconds > 0 for lag in health.metrics._read().lags.values()) if health.metrics._read else 0
    assert 0 < behind["kafka_consumergroup_group_lag_seconds"] <= partitions * (age + 5)
    answering.set()
    await until(lambda: read()["kafka_consumergroup_lag"] == 0 and read()["tidegate_stream_records_total scored"] == 59)
    found = read()
    assert found["kafka_consumergroup_group_lag_seconds"] == 0
    assert found["tidegate_stream_records_total dead-lettered"] == found["tidegate_stream_dead_letters_total 400"] == 1
    assert found["tidegate_stream_retries_total"] > 0
    assert found["tidegate_stream_rebalances_total assigned"] >= 1
    assert found["tidegate_stream_assigned_partitions"] == 4
    assert found["tidegate_stream_paused_partitions"] == 0
    for phase in ("wait", "decode", "call", "write", "commit"):
        assert found[f"tidegate_stream_phase_seconds_count {phase}"] > 0
    stop.set()
    await running
