"""One month through the stream: events are published, results collected, and processes killed in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from eventing.codecs import kafka as codec
from eventing.event import Event
from functions.stream.settings import group_of
from tidegate.demo.broken import Broken
from tidegate.demo.collector import Collected, Collector
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.progress import ProgressReporter, Task
from tidegate.publishing import EMBEDDED_MAX_LAG, Publisher

INPUT, OUTPUT, DEADLETTER = "flights.departed", "flights.scored", "flights.deadletter"
# The limit on a time without results. It is longer than the takeover of a killed worker's partitions.
_STALLED_SECONDS = 60.0
# A group needs a few seconds to form, and half a minute if a member's first attempt to join is lost.
_READER_SECONDS = 60.0
_TICK_SECONDS = 0.05


@dataclass(kw_only=True, slots=True)
class Streamed:
    """The results of the stream.

    `seconds` is from the first event published to the last reply read; `latencies_ms` are from published to written.
    """

    collected: Collected
    seconds: float
    latencies_ms: list[float]
    killed: list[str] = field(default_factory=list)


def stream(
    workbench: Workbench, events: Sequence[Event], broken: Sequence[Broken], kill: Sequence[str], reporter: ProgressReporter
) -> Streamed:
    """Publish all events and collect as many results. Raises DemoFailed if there are no more results for a minute."""
    total = len(events) + len(broken)
    with (
        Publisher(workbench.broker, INPUT, group=group_of(INPUT), max_lag=EMBEDDED_MAX_LAG, reader_seconds=_READER_SECONDS) as publisher,
        Collector(workbench.broker, OUTPUT, DEADLETTER) as collector,
        reporter.progress("scored", total, "events") as progress,
    ):
        if not publisher.has_reader:
            raise DemoFailed(f"no stream worker reads {INPUT}", remedy=f"see the log of `tidegate up` in {workbench.state_dir}")
        publishing = _Publishing(publisher, events, broken)
        started = time.monotonic()
        publishing.start()
        killer = ProcessKiller(workbench, kill, total)
        _collect(collector, publishing, killer, total, progress)
        seconds = time.monotonic() - started
        publishing.join()
    scored = collector.collected.scored
    latencies = [max(scored[name].written_ms - sent, 0.0) for name, sent in publishing.sent_ms.items() if name in scored]
    return Streamed(collected=collector.collected, seconds=seconds, latencies_ms=latencies, killed=killer.killed)


def _collect(collector: Collector, publishing: _Publishing, killer: ProcessKiller, total: int, progress: Task) -> None:
    moved, last = time.monotonic(), 0
    while not collector.wait(total, _TICK_SECONDS):
        publishing.raise_error()
        done = collector.collected.events
        if done > last:
            moved, last = time.monotonic(), done
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise DemoFailed(
                f"{done:,} of {total:,} events have results, and no more arrived for {_STALLED_SECONDS:.0f} s",
                remedy="see `tidegate status`",
            )
        killer.maybe_kill(done)
        progress.show(done, f"{len(collector.collected.dead)} dead letters" if done else "starting from zero")
    progress.show(collector.collected.events, f"{len(collector.collected.dead)} dead letters")


class _Publishing(threading.Thread):
    """A thread that publishes the events, with the broken ones spread among them."""

    def __init__(self, publisher: Publisher, events: Sequence[Event], broken: Sequence[Broken]) -> None:
        super().__init__(name="publisher", daemon=True)
        self.sent_ms: dict[str, float] = {}
        self._publisher, self._broken = publisher, list(broken)
        self._messages = [(event.id, codec.encode(event)) for event in events]
        self._every = max(len(events) // (len(broken) + 1), 1)
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            for index, (event_id, message) in enumerate(self._messages, 1):
                self._publisher.send(message)
                self.sent_ms[event_id] = time.time() * 1e3
                if index % self._every == 0 and self._broken:
                    self._publisher.send(self._broken.pop().message)
            for item in self._broken:
                self._publisher.send(item.message)
            self._publisher.flush()
        except Exception as error:  # noqa: BLE001 raise_error() raises it again
            self._error = error

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error


class ProcessKiller:
    """Kills one process of each service or deployment once, at even distances over the stream."""

    def __init__(self, workbench: Workbench, names: Sequence[str], total: int) -> None:
        self.killed: list[str] = []
        self._workbench = workbench
        # None at the end: the rest of the stream must be long enough to show the effect.
        self._due = [(total * (index + 1) // (len(names) + 2), name) for index, name in enumerate(names)]

    def maybe_kill(self, done: int) -> None:
        """Kill the next process if so many events are done that it is due."""
        if not self._due or done < self._due[0][0]:
            return
        name = self._due[0][1]
        pid = self._workbench.pid_of(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self._due.pop(0)
        self.killed.append(name)
