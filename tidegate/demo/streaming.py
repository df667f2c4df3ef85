"""One month through the stream: published, collected, and now and then something killed on the way."""

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
from tidegate.progress import Narration, Task
from tidegate.publishing import EMBEDDED_MAX_LAG, Publisher

INPUT, OUTPUT, DEADLETTER = "flights.departed", "flights.scored", "flights.deadletter"
# Nothing has come out for so long: longer than a killed worker's partitions need to be taken over.
_STALLED_SECONDS = 60.0
# A group takes a few seconds to form, and half a minute where a member's first attempt to join is lost.
_READER_SECONDS = 60.0
_TICK_SECONDS = 0.05


@dataclass(slots=True)
class Streamed:
    """`seconds` is from the first event published to the last reply read; latencies in ms, from published to written by the worker."""

    collected: Collected
    seconds: float
    latencies_ms: list[float]
    killed: list[str] = field(default_factory=list)


def stream(workbench: Workbench, events: Sequence[Event], spoilt: Sequence[Broken], kill: Sequence[str], narration: Narration) -> Streamed:
    """Publish all, collect until as many have come out. Raises DemoFailed when nothing comes any more."""
    total = len(events) + len(spoilt)
    with (
        Publisher(workbench.broker, INPUT, group=group_of(INPUT), max_lag=EMBEDDED_MAX_LAG, reader_seconds=_READER_SECONDS) as publisher,
        Collector(workbench.broker, OUTPUT, DEADLETTER) as collector,
        narration.progress("scored", total, "events") as progress,
    ):
        if not publisher.has_reader:
            raise DemoFailed(f"no stream worker reads {INPUT}; `tidegate up`'s log in {workbench.state_dir} says why.")
        publishing = _Publishing(publisher, events, spoilt)
        started = time.monotonic()
        publishing.start()
        victims = _Victims(workbench, kill, total)
        _collect(collector, publishing, victims, total, progress)
        seconds = time.monotonic() - started
        publishing.join()
    scored = collector.collected.scored
    latencies = [max(scored[name].written_ms - sent, 0.0) for name, sent in publishing.sent_ms.items() if name in scored]
    return Streamed(collector.collected, seconds, latencies, victims.killed)


def _collect(collector: Collector, publishing: _Publishing, victims: _Victims, total: int, progress: Task) -> None:
    moved, last = time.monotonic(), 0
    while not collector.wait(total, _TICK_SECONDS):
        publishing.raise_error()
        done = collector.collected.events
        if done > last:
            moved, last = time.monotonic(), done
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise DemoFailed(f"{done:,} of {total:,} events came out, then nothing for {_STALLED_SECONDS:.0f} s; see `tidegate status`.")
        victims.strike(done)
        progress.show(done, f"{len(collector.collected.dead)} dead letters" if done else "starting from zero")
    progress.show(collector.collected.events, f"{len(collector.collected.dead)} dead letters")


class _Publishing(threading.Thread):
    """Publishes in the background, the broken records spread among the good ones."""

    def __init__(self, publisher: Publisher, events: Sequence[Event], spoilt: Sequence[Broken]) -> None:
        super().__init__(name="publisher", daemon=True)
        self.sent_ms: dict[str, float] = {}
        self._publisher, self._spoilt = publisher, list(spoilt)
        self._messages = [(event.id, codec.encode(event)) for event in events]
        self._every = max(len(events) // (len(spoilt) + 1), 1)
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            for index, (event_id, message) in enumerate(self._messages, 1):
                self._publisher.send(message)
                self.sent_ms[event_id] = time.time() * 1e3
                if index % self._every == 0 and self._spoilt:
                    self._publisher.send(self._spoilt.pop().message)
            for item in self._spoilt:
                self._publisher.send(item.message)
            self._publisher.flush()
        except Exception as error:  # noqa: BLE001 it is raised again where somebody waits
            self._error = error

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error


class _Victims:
    """Kills one process of each name once, evenly spread over the stream."""

    def __init__(self, workbench: Workbench, names: Sequence[str], total: int) -> None:
        self.killed: list[str] = []
        self._workbench = workbench
        # None of them late: what is left must be enough to notice it.
        self._due = [(total * (index + 1) // (len(names) + 2), name) for index, name in enumerate(names)]

    def strike(self, done: int) -> None:
        if not self._due or done < self._due[0][0]:
            return
        name = self._due[0][1]
        pid = self._workbench.pid_of(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self._due.pop(0)
        self.killed.append(name)
