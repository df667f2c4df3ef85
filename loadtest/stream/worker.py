"""What is measured of the worker alone: its start, its memory over a long run, and a key that fails for minutes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtest.compare.processes import free_port, running
from loadtest.compare.wire import request
from loadtest.stream.output import Output
from loadtest.stream.processes import WayFailed
from loadtest.stream.records import Records
from loadtest.stream.setup import Setup
from loadtest.stream.ways import Way

_START_SECONDS = 60.0
_SAMPLE_SECONDS = 0.5
_STALLED_SECONDS = 60.0
_FAILING_EVERY = 1_000
# More than the worker can move in the time of a run: neither run may end early.
_MOST_A_SECOND = 20_000
_READY = request("/", b"[]", "Content-Type: application/cloudevents-batch+json")


@dataclass(frozen=True, slots=True)
class Memory:
    """Over a run: the most bytes, and how much more the last quarter's mean is than that of the second quarter."""

    events: int
    peak: int
    growth: int


def first_output(setup: Setup, way: Way, topic: str) -> float:
    """Return the seconds from a worker's start to the broker's receipt of its first result. Raises WayFailed."""
    with (
        setup.kafka.output("start") as output,
        setup.started(way, setup.job(way, topic, output)) as process,
        Output(setup.kafka.servers, output) as results,
    ):
        results.await_first(_START_SECONDS, process.check)
        return results.first - process.began


def memory(setup: Setup, way: Way, topic: str, events: int) -> Memory:
    """Sample the resident memory of a worker over a whole topic. Raises WayFailed."""
    samples: list[int] = []
    with (
        setup.kafka.output("memory") as output,
        setup.started(way, setup.job(way, topic, output)) as process,
        Output(setup.kafka.servers, output) as results,
    ):
        while results.count < events:
            before = results.count
            results.until(lambda: results.count >= events, _SAMPLE_SECONDS, process.check)
            if results.count == before and not results.until(lambda: results.count > before, _STALLED_SECONDS, process.check):  # noqa: B023
                raise WayFailed(f"it has answered {results.count} of {events} events, and goes on no more.")
            samples.append(process.resident())
        return Memory(events, process.peak(), growth(samples))


def growth(samples: Sequence[int]) -> int:
    """Return the mean of the last quarter less that of the second; 0 with too few samples."""
    quarter = len(samples) // 4
    if not quarter:
        return 0
    return (sum(samples[-quarter:]) - sum(samples[quarter : 2 * quarter])) // quarter


def failing_key(setup: Setup, way: Way, seconds: float) -> float:
    """Return the rate of the other keys of a partition in which one fails, relative to a run in which it does not.

    Both runs are of this length, and have one topic with one partition each. Raises WayFailed.
    """
    with _function(setup) as sink:
        rates = [_rate(setup, way, sink, seconds, every) for every in (0, _FAILING_EVERY)]
    return rates[1] / rates[0]


@contextmanager
def _function(setup: Setup) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "loadtest.stream.failing", str(port)]
    with running(command, {}, port, _READY, setup.folder / "failing.log"):
        yield f"http://127.0.0.1:{port}/models/flights"


def _rate(setup: Setup, way: Way, sink: str, seconds: float, failing_every: int) -> float:
    """Return the results a second of the keys that do not fail."""
    topic, count = setup.kafka.topic("keys", 1), round(seconds * _MOST_A_SECOND)
    try:
        setup.kafka.fill(topic, Records(1, failing_every=failing_every), count)
        with (
            setup.kafka.output("of-keys", 1) as output,
            setup.started(way, setup.job(way, topic, output, sink)) as process,
            Output(setup.kafka.servers, output, 1) as results,
        ):
            results.await_first(_START_SECONDS, process.check)
            first, before = results.count, results.last
            answered = count - (count // failing_every if failing_every else 0)
            results.until(lambda: results.count >= answered, seconds, process.check)
            if results.last <= before:
                raise WayFailed("the keys that do not fail go on no more.")
            return (results.count - first) / (results.last - before)
    finally:
        setup.kafka.remove(topic)
