"""How fast each way is, and what an event costs it and the function in processor time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from loadtest.compare.processes import cpu_seconds
from loadtest.stream.output import Output
from loadtest.stream.processes import Running, WayFailed
from loadtest.stream.setup import Setup
from loadtest.stream.ways import Way

_START_SECONDS = 120.0
# Until connections, caches and the number of calls in flight are those of a steady run.
_WARM_SECONDS = 1.5
_BURST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Rate:
    """The figures of one run. Processor time is in microseconds an event."""

    events: float
    """A second."""
    own_us: float
    function_us: float
    router_us: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class _Reading:
    count: int
    at: float
    own: float
    function: float
    router: float


def rate(setup: Setup, way: Way, topic: str, events: int, seconds: float) -> Rate:
    """Run a way for so many seconds, or to the end of the topic. Raises WayFailed."""
    with (
        setup.kafka.output(way.name) as output,
        setup.started(way, setup.job(way, topic, output)) as running,
        Output(setup.kafka.servers, output) as results,
    ):
        results.await_first(_START_SECONDS, running.check)
        results.until(lambda: results.count >= events // 2, _WARM_SECONDS, running.check)
        first = _reading(setup, running, results)
        results.until(lambda: results.count >= events, seconds, running.check)
        return _figures(first, _reading(setup, running, results), running.peak())


def _reading(setup: Setup, running: Running, results: Output) -> _Reading:
    now = time.time()
    # Between the bursts of a way that writes in bursts, its time goes on.
    at = results.last if now - results.last < _BURST_SECONDS else now
    return _Reading(results.count, at, running.cpu(), cpu_seconds(setup.function.pid), cpu_seconds(setup.router.pid))


def _figures(first: _Reading, last: _Reading, peak: int) -> Rate:
    """Return the figures between two readings, by the broker's clock. Raises WayFailed."""
    count, seconds = last.count - first.count, last.at - first.at
    if count <= 0 or seconds <= 0:
        raise WayFailed("it has written too little to be measured; give more --events.")
    return Rate(
        events=count / seconds,
        own_us=1e6 * (last.own - first.own) / count,
        function_us=1e6 * (last.function - first.function) / count,
        router_us=1e6 * (last.router - first.router) / count,
        peak_bytes=peak,
    )
