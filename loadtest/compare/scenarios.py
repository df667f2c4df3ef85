"""The scenarios, equal for all servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from loadtest.compare.load import Figures, Load, run
from loadtest.compare.model import ROWS, Trained
from loadtest.compare.processes import Process, ServerFailed
from loadtest.compare.servers import Ready

_MEMORY_REQUESTS = 10_000
_MEMORY_CONNECTIONS = 8
_MAX_CONNECTIONS = 64


@dataclass(slots=True)
class Subject:
    """A running server; `maximum` is the rate of its last closed loop with the most connections, 0 before it."""

    ready: Ready
    process: Process
    trained: Trained
    seconds: float
    maximum: float = 0.0

    def load(self, requests: tuple[bytes, ...], connections: int) -> Load:
        return Load(self.process.port, requests, connections, self.seconds, warmup=min(0.5, self.seconds / 4))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement of figures by name; `figure` is the one to show in the progress, in `unit`."""

    name: str
    title: str
    unit: str
    figure: str
    measure: Callable[[Subject], Mapping[str, float]]


def _one_row(connections: int) -> Callable[[Subject], Mapping[str, float]]:
    def measure(subject: Subject) -> Mapping[str, float]:
        figures = run(subject.load(subject.trained.requests.one, connections))
        if connections == _MAX_CONNECTIONS:
            subject.maximum = figures.rate
        return _answered(figures)

    return measure


def _many_rows(subject: Subject) -> Mapping[str, float]:
    return _answered(run(subject.load(subject.trained.requests.many, 4)))


def _binary(subject: Subject) -> Mapping[str, float]:
    requests = subject.trained.requests
    return _answered(run(subject.load(requests.binary if subject.ready.binary else requests.many, 4)))


def _open_loop(subject: Subject) -> Mapping[str, float]:
    if not subject.maximum:
        _one_row(_MAX_CONNECTIONS)(subject)
    load = subject.load(subject.trained.requests.one, _MAX_CONNECTIONS)
    return _answered(run(replace(load, rate=subject.maximum / 2))) | {"maximum": subject.maximum}


def _cold_start(subject: Subject) -> Mapping[str, float]:
    with subject.ready.start(subject.trained) as process:
        return {"started_ms": process.started_ms}


def _memory(subject: Subject) -> Mapping[str, float]:
    """Measure the memory of a fresh process, independent of the scenarios before."""
    requests = subject.trained.requests.one
    with subject.ready.start(subject.trained) as process:
        figures = run(Load(process.port, requests, _MEMORY_CONNECTIONS, count=_MEMORY_REQUESTS))
        return _answered(figures) | {"rss_mb": process.resident() / 1e6, "pss_mb": process.proportional() / 1e6}


def _answered(figures: Figures) -> dict[str, float]:
    if not figures.requests:
        raise ServerFailed(f"none of its requests was answered with status 200 ({figures.errors} failed)")
    return asdict(figures)


SCENARIOS = (
    Scenario("one-row-1", "one row, JSON, 1 connection", "requests/s", "rate", _one_row(1)),
    Scenario("one-row-8", "one row, JSON, 8 connections", "requests/s", "rate", _one_row(8)),
    Scenario("one-row-64", "one row, JSON, 64 connections", "requests/s", "rate", _one_row(_MAX_CONNECTIONS)),
    Scenario("rows-json", f"{ROWS:,} rows, JSON, 4 connections", "requests/s", "rate", _many_rows),
    Scenario("rows-binary", f"{ROWS:,} rows, binary tensors, 4 connections", "requests/s", "rate", _binary),
    Scenario("open-loop", "one row, open loop at half of the server's maximum rate, p99", "ms", "p99", _open_loop),
    Scenario("cold-start", "process start to first response", "ms", "started_ms", _cold_start),
    Scenario("memory", f"resident memory after {_MEMORY_REQUESTS:,} requests", "MB", "rss_mb", _memory),
)
