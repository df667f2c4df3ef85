"""The metrics in Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

It replaces prometheus_client, which the router's image would contain for these few lines only.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from functions.router.metrics import Metrics
from functions.runtime.observability.histogram import Histogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def render(metrics: Metrics) -> bytes:
    """The metrics as text."""
    return "".join(f"{line}\n" for line in _lines(metrics)).encode()


def _lines(metrics: Metrics) -> Iterator[str]:
    yield from _counter("tidegate_router_requests_total", "Requests of callers by status class.", ("model", "code"), metrics.requests)
    yield from _counter(
        "tidegate_router_calls_total",
        "Calls of revisions by status class; none without a reply.",
        ("model", "revision", "code"),
        metrics.calls,
    )
    yield from _histogram(
        "tidegate_router_call_duration_seconds", "From a call of a revision to its reply.", ("model", "revision"), metrics.latencies
    )
    yield from _counter("tidegate_router_retries_total", "Retries of calls that had reached no revision.", ("model",), metrics.retries)
    yield from _counter(
        "tidegate_router_failovers_total",
        "Calls that the stable revision answered after the canary had failed.",
        ("model",),
        metrics.failovers,
    )
    yield from _counter("tidegate_router_outcomes_total", "Outcome events by what became of them.", ("result",), metrics.outcomes)
    yield from _counter("tidegate_router_shadows_total", "Copies for shadow revisions by result.", ("model", "result"), metrics.shadows)
    for gauge in metrics.gauges:
        yield from _family(gauge.name, gauge.description, "gauge", [f"{gauge.name} {_number(gauge.read())}"])
    yield from _process()


def _process() -> Iterator[str]:
    """Metrics of the process, with the names of prometheus_client."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime
    name = "process_cpu_seconds_total"
    yield from _family(name, "Total user and system CPU time spent in seconds.", "counter", [f"{name} {_number(seconds)}"])
    resident = _resident_bytes()
    if resident is not None:
        name = "process_resident_memory_bytes"
        yield from _family(name, "Resident memory size in bytes.", "gauge", [f"{name} {resident}"])


def _resident_bytes() -> int | None:
    """The resident memory (proc(5), `statm`); None without /proc."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _counter(name: str, description: str, labels: Sequence[str], counts: Mapping[Any, int]) -> Iterator[str]:
    return _family(name, description, "counter", [f"{name}{_labels(labels, key)} {count}" for key, count in counts.items()])


def _histogram(name: str, description: str, labels: Sequence[str], found: Mapping[Any, Histogram]) -> Iterator[str]:
    lines = []
    for key, histogram in found.items():
        bounds = [*(_number(bound) for bound in histogram.bounds), "+Inf"]
        for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
            lines.append(f"{name}_bucket{_labels((*labels, 'le'), (*key, bound))} {count}")
        lines.append(f"{name}_count{_labels(labels, key)} {sum(histogram.counts)}")
        lines.append(f"{name}_sum{_labels(labels, key)} {_number(histogram.sum)}")
    return _family(name, description, "histogram", lines)


def _family(name: str, description: str, kind: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"# HELP {name} {description}"
    yield f"# TYPE {name} {kind}"
    yield from lines


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return repr(float(value))
