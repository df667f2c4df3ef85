"""What a worker counts, for Prometheus. It costs time per batch, not per event.

Labels are the stream's own names and fixed words: nothing that a producer or a sink sends becomes one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from functions.stream.report import Tally

Phase = Literal["wait", "decode", "call", "write", "commit"]
Change = Literal["assigned", "revoked", "lost"]
Result = TypeVar("Result")
Item = TypeVar("Item")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PHASES: tuple[Phase, ...] = ("wait", "decode", "call", "write", "commit")
_CHANGES: tuple[Change, ...] = ("assigned", "revoked", "lost")
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_STATUSES = {status.value for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a partition is behind, in records and in seconds."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The state of a worker at a scrape. `registry_answers` is None without a registry."""

    group: str
    topic: str
    tally: Tally
    assigned: int = 0
    lags: Mapping[int, PartitionLag] = field(default_factory=dict)
    unfinished: int = 0
    paused: int = 0
    registry_answers: bool | None = None


class Metrics:
    """The metrics of one worker. All methods run on the event loop's thread."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        phases = Histogram(
            "tidegate_stream_phase_seconds", "Time of a batch in each phase.", ["phase"], buckets=_SECONDS, registry=registry
        )
        self._phases = {phase: phases.labels(phase) for phase in _PHASES}
        self._batches = Histogram("tidegate_stream_batch_events", "Events in one call to the sink.", buckets=_EVENTS, registry=registry)
        self._calls = Counter("tidegate_stream_calls", "Calls to the sink by status class.", ["code"], registry=registry)
        self._retries = Counter("tidegate_stream_retries", "Events that were posted to the sink again.", registry=registry)
        self._letters = Counter("tidegate_stream_dead_letters", "Dead letters by the status of their problem.", ["code"], registry=registry)
        changes = Counter("tidegate_stream_rebalances", "Changes of the assigned partitions.", ["change"], registry=registry)
        self._changes = {change: changes.labels(change) for change in _CHANGES}
        self._in_flight = 0
        self._read: Callable[[], Reading] | None = None
        registry.register(_State(self))

    def watch(self, read: Callable[[], Reading]) -> None:
        """Read the worker's state at each scrape."""
        self._read = read

    def took(self, phase: Phase, seconds: float) -> None:
        self._phases[phase].observe(seconds)

    async def timed(self, phase: Phase, awaitable: Awaitable[Result]) -> Result:
        """Wait for a result, and count the time."""
        started = time.perf_counter()
        try:
            return await awaitable
        finally:
            self.took(phase, time.perf_counter() - started)

    def decoding(self, batches: Iterator[Item]) -> Iterator[Item]:
        """Yield what is decoded, and count the time that it takes, without that of its receiver."""
        while True:
            started = time.perf_counter()
            try:
                found = next(batches)
            except StopIteration:
                return
            self.took("decode", time.perf_counter() - started)
            yield found

    def calling(self, events: int) -> None:
        """Count a call to the sink that begins."""
        self._in_flight += 1
        self._batches.observe(events)

    def called(self, status: int | None, seconds: float) -> None:
        """Count the end of a call. The status is None if it was cancelled."""
        self._in_flight -= 1
        self._calls.labels("none" if status is None else _class(status)).inc()
        self.took("call", seconds)

    def retried(self, events: int) -> None:
        self._retries.inc(events)

    def dead_lettered(self, statuses: Iterable[int]) -> None:
        """Count dead letters by the statuses of their problems, which a sink may have invented."""
        for status in statuses:
            self._letters.labels(str(status) if status in _STATUSES else _class(status)).inc()

    def rebalanced(self, change: Change) -> None:
        self._changes[change].inc()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from self._registry.collect()

    def state(self) -> Iterator[Metric]:
        """Yield the metrics that are read at a scrape."""
        yield GaugeMetricFamily("tidegate_stream_calls_in_flight", "Open calls to the sink.", value=self._in_flight)
        if self._read is not None:
            yield from _families(self._read())


def exposition(*collected: Iterable[Metric]) -> bytes:
    """Return metrics, and those of the process, in Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return generate_latest(registry) + b"".join(generate_latest(_Collected(found)) for found in collected)


def joined(streams: Mapping[str, Metrics]) -> Iterator[Metric]:
    """Yield the metrics of many streams, with the name of each as the label `stream`."""
    families: dict[str, Metric] = {}
    for name, metrics in streams.items():
        for family in metrics.collect():
            found = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            found.samples += [sample._replace(labels={"stream": name, **sample.labels}) for sample in family.samples]
    yield from families.values()


class _Collected(Collector):
    """Metrics that were collected already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._collected = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._collected


class _State(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.state()


def _families(reading: Reading) -> Iterator[Metric]:
    labels = ("consumergroup", "topic", "partition")
    records = GaugeMetricFamily("kafka_consumergroup_lag", "Records that the group has not finished.", labels=labels)
    seconds = GaugeMetricFamily(
        "kafka_consumergroup_group_lag_seconds", "Age of the oldest record that the group has not finished.", labels=labels
    )
    for partition, lag in sorted(reading.lags.items()):
        key = (reading.group, reading.topic, str(partition))
        records.add_metric(key, lag.records)
        seconds.add_metric(key, lag.seconds)
    yield from (records, seconds)
    yield _results(reading.tally)
    yield GaugeMetricFamily("tidegate_stream_unfinished_records", "Records that were read and are not finished.", value=reading.unfinished)
    yield GaugeMetricFamily("tidegate_stream_assigned_partitions", "Partitions of this worker.", value=reading.assigned)
    yield GaugeMetricFamily("tidegate_stream_paused_partitions", "Partitions that are not read for now.", value=reading.paused)
    if reading.registry_answers is not None:
        yield GaugeMetricFamily(
            "tidegate_stream_registry_up",
            "Whether the schema registry answers; 0 while records wait for it.",
            value=reading.registry_answers,
        )


def _results(tally: Tally) -> Metric:
    found = CounterMetricFamily("tidegate_stream_records", "Records by what became of them.", labels=("result",))
    counts = {
        "scored": tally.scored,
        "dead-lettered": tally.dead_lettered,
        "skipped": tally.skipped,
        "passed-over": tally.passed_over,
    }
    for result, count in counts.items():
        found.add_metric((result,), count)
    return found


def _class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else "other"
