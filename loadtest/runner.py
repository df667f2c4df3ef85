"""Runs a scenario in this process with locust, and records every request."""

from __future__ import annotations

# First: it patches the sockets of the standard library, before another module uses them.
import locust  # isort: skip
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

from locust.env import Environment

from loadtest.report import Run
from loadtest.scenarios.burst import Burst
from loadtest.scenarios.caller import Caller
from loadtest.scenarios.steady import Steady
from loadtest.summary import Sample

SCENARIOS: dict[str, type[Caller]] = {"burst": Burst, "steady": Steady}

Progress = Callable[[float, list[Sample]], None]


def run(name: str, *, url: str, host: str, users: int, seconds: float, rate: float | None, progress: Progress) -> Run:
    """Run all callers at once for `seconds`.

    Ctrl-C ends the run early: `interrupted` is true, and the samples so far are kept.
    """
    samples: list[Sample] = []
    environment = Environment(user_classes=[_caller(name, host, users, rate)], host=url)
    runner = environment.create_local_runner()
    began = time.time()  # the clock of locust's start times
    environment.events.request.add_listener(lambda **event: samples.append(_sample(event, began)))  # type: ignore[no-untyped-call]
    with _interrupt() as interrupted:
        runner.start(users, spawn_rate=users)
        while (passed := time.time() - began) < seconds and not interrupted.is_set():
            interrupted.wait(min(0.5, seconds - passed))
            progress(time.time() - began, samples)
        took = time.time() - began
        runner.quit()
    return Run(name, url, users, rate, took, interrupted.is_set(), samples)


@contextmanager
def _interrupt() -> Iterator[Event]:
    """Set an event on Ctrl-C or SIGTERM, since an exception would be raised inside one of the callers."""
    event = Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _caller(name: str, host: str, users: int, rate: float | None) -> type[Caller]:
    pace: dict[str, Any] = {} if rate is None else {"wait_time": locust.constant_throughput(rate / users)}
    return type(name, (SCENARIOS[name],), {"authority": host, **pace})


def _sample(event: dict[str, Any], began: float) -> Sample:
    return Sample(event["start_time"] - began, event["response_time"], _error(event))


def _error(event: dict[str, Any]) -> str | None:
    if event["exception"] is None:
        return None
    status = getattr(event["response"], "status_code", 0)
    return f"status {status}" if status else str(event["exception"])
