"""One month through the stream during a rollout: events are published, results collected, labels published for them.

While the rollout is undecided, events are published at the rate at which routers sample scores; afterwards as fast as
the stream takes them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eventing.codecs import kafka as codec
from eventing.event import Event
from eventing.outcome import MOST_SCORES
from functions.stream.settings import group_of
from tidegate.demo.broken import Broken
from tidegate.demo.collector import Collected, Collector
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.following import SETTLED_SECONDS, Following
from tidegate.demo.labelling import Labelling
from tidegate.demo.rollout import MODEL
from tidegate.progress import ProgressReporter, Task
from tidegate.publishing import EMBEDDED_MAX_LAG, Publisher

INPUT, OUTPUT, DEADLETTER = "flights.departed", "flights.scored", "flights.deadletter"
# The limit on a time without results. It is longer than the takeover of a killed worker's partitions.
_STALLED_SECONDS = 60.0
# A group needs a few seconds to form, and half a minute if a member's first attempt to join is lost.
_READER_SECONDS = 60.0
_TICK_SECONDS = 0.05
# Of events while the rollout is undecided: together the most scores of a second.
_RATE = MOST_SCORES * 5 // 8
_AT_ONCE = MOST_SCORES - _RATE


@dataclass(kw_only=True, slots=True)
class Streamed:
    """The results of the stream. `sent_ms` are the times of publication, by event."""

    collected: Collected
    sent_ms: dict[str, float]
    labels: int
    """The labels that were published."""
    killed: list[str] = field(default_factory=list)

    def published_since(self, ms: float) -> list[str]:
        """The events with a score that were published after a time."""
        return [name for name, sent in self.sent_ms.items() if sent >= ms and name in self.collected.scored]

    def latencies_ms(self, names: Sequence[str]) -> list[float]:
        """From published to written."""
        return [max(self.collected.scored[name].written_ms - self.sent_ms[name], 0.0) for name in names]


@dataclass(frozen=True, kw_only=True, slots=True)
class Departures:
    """What is published: events, broken ones among them, and the labels by event."""

    events: Sequence[Event]
    labels: Mapping[str, Event]
    broken: Sequence[Broken] = ()

    @property
    def total(self) -> int:
        return len(self.events) + len(self.broken)


def stream(workbench: Workbench, departures: Departures, kill: Sequence[str], reporter: ProgressReporter) -> tuple[Streamed, Following]:
    """Publish all events and collect as many results. Raises DemoFailed if there are no more results for a minute."""
    with (
        Publisher(workbench.broker, INPUT, group=group_of(INPUT), max_lag=EMBEDDED_MAX_LAG, reader_seconds=_READER_SECONDS) as publisher,
        Following(workbench.running, MODEL, reporter) as rollout,
        Labelling(workbench.address_of("Broker", "tidegate"), departures.labels) as labels,
        Collector(workbench.broker, OUTPUT, DEADLETTER, labels.publish) as collector,
        reporter.progress("scored", departures.total, "events") as progress,
    ):
        if not publisher.has_reader:
            raise DemoFailed(f"no stream worker reads {INPUT}", remedy=f"see the log of `tidegate up` in {workbench.state_dir}")
        publishing = _Publishing(publisher, departures, _Pace(rollout, collector.collected))
        publishing.start()
        killer = ProcessKiller(workbench, kill, departures.total)
        parts = _Parts(collector, publishing, labels, rollout, killer)
        parts.run(departures.total, progress)
        publishing.join()
    streamed = Streamed(collected=collector.collected, sent_ms=publishing.sent_ms, labels=labels.published, killed=killer.killed)
    return streamed, rollout


@dataclass(frozen=True, slots=True)
class _Parts:
    """The threads that work while the results are collected."""

    collector: Collector
    publishing: _Publishing
    labels: Labelling
    rollout: Following
    killer: ProcessKiller

    def run(self, total: int, progress: Task) -> None:
        moved, last = time.monotonic(), 0
        while not self.collector.wait(total, _TICK_SECONDS):
            self._raise_errors()
            if self.rollout.ended:
                self.labels.stop()  # nothing is decided by more of them
            done = self.collector.collected.events
            if done > last:
                moved, last = time.monotonic(), done
            elif time.monotonic() - moved > _STALLED_SECONDS:
                raise DemoFailed(
                    f"{done:,} of {total:,} events have results, and no more arrived for {_STALLED_SECONDS:.0f} s",
                    remedy="see `tidegate status`",
                )
            self.killer.maybe_kill(done)
            progress.show(done, self._note(done))
        progress.show(self.collector.collected.events, self._note(total))

    def _raise_errors(self) -> None:
        for part in (self.publishing, self.labels):
            if part.error is not None:
                raise part.error

    def _note(self, done: int) -> str:
        if not done or not self.rollout.document:
            return "starting from zero"
        return f"{self.labels.published:,} labels; the canary has {self.rollout.document['percent']}%"


class _Publishing(threading.Thread):
    """A thread that publishes the events, with the broken ones spread among them."""

    def __init__(self, publisher: Publisher, departures: Departures, pace: _Pace) -> None:
        super().__init__(name="publisher", daemon=True)
        self.sent_ms: dict[str, float] = {}
        self.error: Exception | None = None
        self._publisher, self._pace = publisher, pace
        self._messages = [(event.id, codec.encode(event)) for event in departures.events]
        self._broken = list(departures.broken)
        self._every = max(len(self._messages) // (len(self._broken) + 1), 1)

    def run(self) -> None:
        try:
            for index, (event_id, message) in enumerate(self._messages, 1):
                self._pace.wait()
                self._publisher.send(message)
                self.sent_ms[event_id] = time.time() * 1e3
                if index % self._every == 0 and self._broken:
                    self._publisher.send(self._broken.pop().message)
            for item in self._broken:
                self._publisher.send(item.message)
            self._publisher.flush()
        except Exception as error:  # noqa: BLE001 it is raised where results are awaited
            self.error = error


class _Pace:
    """_RATE events a second until the rollout is over, and no more than _AT_ONCE without a result.

    A router samples up to MOST_SCORES scores a second, of whole requests of the stream. So each prediction is in the
    sample, and the label of an aircraft's first flight meets the prediction that counts.
    """

    def __init__(self, rollout: Following, collected: Collected) -> None:
        self._rollout, self._collected = rollout, collected
        self._due = 0.0
        self._sent = 0
        self._settled = False

    def wait(self) -> None:
        self._sent += 1
        while not self._rollout.ended and self._sent - self._collected.events > _AT_ONCE:
            time.sleep(_TICK_SECONDS)
        if self._rollout.ended:
            self._settle()
            return
        now = time.monotonic()
        self._due = max(self._due, now) + 1 / _RATE
        if self._due - now > _TICK_SECONDS:
            time.sleep(self._due - now)

    def _settle(self) -> None:
        """Wait once, so that everything after it is assigned by the last weights."""
        if not self._settled:
            time.sleep(SETTLED_SECONDS + _TICK_SECONDS)
            self._settled = True


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
