"""What the metrics show of a worker: read from its parts at a scrape, and measured around its sink."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import cast

from eventing.deadletter import Rejection
from eventing.kafka.port import ConsumedRecord
from functions.stream.assignment import Assignment
from functions.stream.dispatch import Poster
from functions.stream.guard import Ends
from functions.stream.input import Input
from functions.stream.intake import Intake
from functions.stream.lag import Arrivals, age_seconds
from functions.stream.metrics import Metrics, PartitionLag, Reading
from functions.stream.partition import PendingRecord
from functions.stream.report import Tally
from functions.stream.settings import StreamSettings
from functions.stream.sink import Failure, Success

_SUCCESS = 200


class Observation:
    """The lag of the assigned partitions, and how much a worker holds. Sends no request."""

    def __init__(
        self,
        settings: StreamSettings,
        assignment: Assignment,
        consumer: Input,
        intake: Intake,
        tally: Tally,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._assignment = assignment
        self._input = consumer
        self._intake = intake
        self._tally = tally
        self._clock = clock
        self._wall = wall
        self._arrivals: dict[int, Arrivals] = {}

    def note(self, ends: Ends) -> None:
        """Take a reading of the ends of the partitions, which the guard reads regularly."""
        assigned = self._input.positions()
        self._arrivals = {partition: found for partition, found in self._arrivals.items() if partition in assigned}
        now = self._clock()
        for partition, end in (ends or {}).items():
            if partition in assigned:
                self._arrivals.setdefault(partition, Arrivals()).read(end, now)

    def read(self) -> Reading:
        """Return the state now."""
        trackers = self._assignment.trackers
        return Reading(
            group=self._settings.group,
            topic=self._settings.input,
            tally=self._tally,
            assigned=len(self._input.positions()),
            lags={partition: lag for partition, fetched in self._input.positions().items() if (lag := self._lag(partition, fetched))},
            unfinished=sum(map(len, trackers.values())) + self._intake.waiting,
            paused=len(self._assignment.unread | self._intake.unread),
            registry_answers=None if self._settings.registry is None else not self._intake.trouble,
        )

    def _lag(self, partition: int, fetched: int | None) -> PartitionLag | None:
        """Return the lag of a partition; None before the client knows where the group is in it."""
        tracker, arrivals = self._assignment.trackers.get(partition), self._arrivals.get(partition, Arrivals())
        if fetched is None:
            return None
        oldest = None if tracker is None else tracker.oldest or self._intake.oldest(tracker)
        # Counted, since records beyond the position may be finished. The client's position also moves over what is no
        # record, as markers of transactions.
        held = 0 if tracker is None else len(tracker) + self._intake.count(tracker)
        records = held + max(0, arrivals.end - fetched)
        position = fetched if oldest is None else oldest.offset
        if not records:
            return PartitionLag(0, 0.0)
        arrivals.finish(position)
        # A record that is not read yet has no timestamp here.
        timestamp = -1 if oldest is None else cast("ConsumedRecord", oldest).timestamp
        return PartitionLag(records, age_seconds(timestamp, self._wall(), arrivals.age_within(position, self._clock())))


class MeasuredSink:
    """A sink whose calls are counted."""

    def __init__(self, sink: Poster, metrics: Metrics) -> None:
        self._sink = sink
        self._metrics = metrics

    async def post(self, events: list[bytes]) -> Success | Failure:
        self._metrics.calling(len(events))
        started, status = time.perf_counter(), None
        try:
            outcome = await self._sink.post(events)
            status = outcome.problem.status if isinstance(outcome, Failure) else _SUCCESS
        finally:
            self._metrics.called(status, time.perf_counter() - started)
        return outcome


def statuses(records: Iterable[PendingRecord]) -> Iterable[int]:
    """Return the statuses of those results that are dead letters."""
    return [pending.result.problem.status for pending in records if isinstance(pending.result, Rejection)]
