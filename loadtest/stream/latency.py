"""The latency at a steady rate: from the moment a record is produced until its result can be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from loadtest.stream.broker import QUIET
from loadtest.stream.output import Output
from loadtest.stream.processes import WayFailed
from loadtest.stream.records import Records, cause
from loadtest.stream.setup import Setup
from loadtest.stream.ways import Way
from loadtest.summary import quantile

_START_SECONDS = 60.0
_LAST_SECONDS = 10.0
# The first records meet a worker whose connections are new.
_WARM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Latency:
    """The quantiles in milliseconds, and the share of a core that the way takes."""

    p50: float
    p99: float
    core: float


class _Steady:
    """A producer in a thread, which notes when it has sent each record."""

    def __init__(self, servers: str, topic: str, per_second: float) -> None:
        self.sent: dict[bytes, float] = {}
        self._topic, self._rate = topic, per_second
        self._producer: Any = Producer({"bootstrap.servers": servers, "linger.ms": 0, "acks": "all", **QUIET})
        self._records = Records()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began, number, records = time.monotonic(), 0, self._records
        while not self._stopping.wait(max(began + number / self._rate - time.monotonic(), 0)):
            self.sent[b"%d" % number] = time.monotonic()
            self._producer.produce(
                self._topic, records.value(number), records.key(number), records.partition(number), headers=records.headers(number)
            )
            self._producer.poll(0)
            number += 1
        self._producer.flush(_LAST_SECONDS)


def latency(setup: Setup, way: Way, per_second: float, seconds: float) -> Latency:
    """Measure a way at a rate for so many seconds. Raises WayFailed."""
    topic = setup.kafka.topic("steady")
    steady = _Steady(setup.kafka.servers, topic, per_second)
    try:
        with (
            setup.kafka.output(f"latency-{way.name}") as output,
            setup.started(way, setup.job(way, topic, output)) as running,
            Output(setup.kafka.servers, output) as results,
            steady.running(),
        ):
            results.await_first(_START_SECONDS, running.check)
            _arrivals(results, _WARM_SECONDS)
            since, before = time.monotonic(), running.cpu()
            arrived = _arrivals(results, seconds)
            core = (running.cpu() - before) / (time.monotonic() - since)
            steady.stop()
            wanted = {name for name, sent in steady.sent.items() if since <= sent < since + seconds}
            deadline = time.monotonic() + _LAST_SECONDS
            while not wanted <= arrived.keys() and time.monotonic() < deadline:
                arrived |= _arrivals(results, 0.1)
    finally:
        setup.kafka.remove(topic)
    if missing := len(wanted - arrived.keys()):
        raise WayFailed(f"{missing} of {len(wanted)} results cannot be read after {_LAST_SECONDS:g} s.")
    found = sorted(1e3 * (arrived[name] - steady.sent[name]) for name in wanted)
    return Latency(quantile(found, 0.5), quantile(found, 0.99), core)


def _arrivals(results: Output, seconds: float) -> dict[bytes, float]:
    """Return when each event was answered, read for so long."""
    found: dict[bytes, float] = {}
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        record: Any = results.next(left)
        if record is not None and (name := cause(record.headers() or [])) is not None:
            found.setdefault(name, time.monotonic())
    return found
