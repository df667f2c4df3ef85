"""What a way keeps when it is killed in the middle and started again: events without a result, and with several."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from loadtest.stream.output import Output
from loadtest.stream.processes import WayFailed
from loadtest.stream.setup import Setup
from loadtest.stream.ways import Way

_PROGRESS_SECONDS = 180.0
# A member that was killed is in its group until its session ends: 45 s with librdkafka's default.
_QUIET_SECONDS = 60.0
_SETTLED_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Over all kills: events without a result, results beyond the first of an event, and how long the run took."""

    kills: int
    lost: int
    doubled: int
    seconds: float


def kept(setup: Setup, way: Way, topic: str, events: int, kills: int) -> Kept:
    """Kill a way at equal distances of a topic's events. Raises WayFailed."""
    began = time.monotonic()
    with (
        setup.kafka.output(f"kills-{way.name}") as output,
        setup.started(way, setup.job(way, topic, output)) as running,
        Output(setup.kafka.servers, output, named=True) as results,
    ):
        for number in range(kills):
            due = events * (number + 1) // (kills + 1)
            if not results.until(lambda due=due: len(results.answers) >= due, _PROGRESS_SECONDS, running.check):  # type: ignore[misc]
                raise WayFailed(f"it has answered {len(results.answers)} of {events} events, and goes on no more.")
            running.kill_and_restart()
        _finish(results, events)
        return judged(results.answers, events, kills, time.monotonic() - began)


def _finish(results: Output, events: int) -> None:
    """Read until nothing comes any more: for long if results are missing, else until late second ones are there."""
    moved = time.monotonic()
    while time.monotonic() - moved < (_SETTLED_SECONDS if len(results.answers) >= events else _QUIET_SECONDS):
        if results.read():
            moved = time.monotonic()


def judged(answers: Counter[bytes | None], events: int, kills: int, seconds: float) -> Kept:
    """Return the verdict. A result that names no event counts as a double."""
    distinct = len(answers) - (None in answers)
    return Kept(kills, events - distinct, answers.total() - distinct, seconds)
