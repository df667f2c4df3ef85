"""Detection of stalls: records wait, and nothing happens to them for too long. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from common.errors import TidegateError

_PARTITION_SECONDS = 60.0
# A round waits for a broker that does not answer, and joining a group for its slowest member; both have shorter
# time-outs.
_ROUND_SECONDS = 120.0
_MEMBER_SECONDS = 120.0
# Ends are read before positions, so a partition in use may seem to be read beyond its end, and never twice at the same one.
_RECREATED_SECONDS = 20.0


class Stalled(TidegateError):
    """Records wait and none is processed. Only another process can go on."""


class Holder(Enum):
    """The part of the worker that holds the unfinished records of a partition."""

    NONE = "none"
    CALLS = "calls"
    """They are posted to the sink, or wait for it or for their schema: calls have an end, and retries are logged."""
    WRITES = "writes"
    """Their outputs are being written to Kafka, or earlier outputs are being recovered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """An assigned partition.

    Offsets are the next ones: `fetched` from the broker, `finished` by the worker, `end` to be produced.
    """

    fetched: int | None
    finished: int | None
    end: int | None
    unfinished: int
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """The worker at one moment.

    `ends_known`: the broker has just reported its ends; `trouble`: why the last round failed.
    """

    topic: str
    group: str
    rounds: int
    is_member: bool
    ends_known: bool
    partitions: Mapping[int, PartitionState]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Subject:
    state: Hashable
    limit_seconds: float
    problem: str


class StallDetector:
    """Remembers how long each subject has not changed, over checks that are about `interval_seconds` apart.

    The time between two checks counts as twice that at most, since a process that was suspended did not wait.
    """

    def __init__(self, interval_seconds: float, retry_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = 2 * interval_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._checked_at = clock()
        self._unchanged: dict[str, tuple[Hashable, float]] = {}

    def check(self, worker: WorkerState) -> str | None:
        """Return a sentence about a subject that has not changed for too long; None if there is no such subject."""
        now = self._clock()
        passed, self._checked_at = min(now - self._checked_at, self._longest), now
        before, self._unchanged = self._unchanged, {}
        problem = None
        for name, subject in self._subjects(worker):
            state, seconds = before.get(name, (None, 0.0))
            seconds = seconds + passed if name in before and state == subject.state else 0.0
            self._unchanged[name] = subject.state, seconds
            if seconds >= subject.limit_seconds:
                problem = problem or subject.problem
        return problem and _with_trouble(problem, worker.trouble)

    def _subjects(self, worker: WorkerState) -> Iterator[tuple[str, _Subject]]:
        for number, partition in worker.partitions.items():
            if (subject := self._partition(f"partition {number} of {worker.topic}", partition)) is not None:
                yield f"partition {number}", subject
        problem = f"the worker has not polled Kafka for {_ROUND_SECONDS:.0f} s"
        yield "rounds", _Subject(worker.rounds, _ROUND_SECONDS, problem)
        if worker.ends_known and not worker.is_member:
            problem = (
                f"the worker has not become a member of the group {worker.group} for {_MEMBER_SECONDS:.0f} s, although the broker answers"
            )
            yield "member", _Subject(None, _MEMBER_SECONDS, problem)

    def _partition(self, name: str, partition: PartitionState) -> _Subject | None:
        if partition.end is not None and (partition.fetched or 0) > partition.end:
            problem = (
                f"{name} ends at offset {partition.end}, and was read up to {partition.fetched}: its topic was recreated, and Kafka's"
                " client does not notice"
            )
            return _Subject((partition.fetched, partition.end), _RECREATED_SECONDS, problem)
        waiting = max(0, (partition.end or 0) - (partition.fetched or 0))
        if partition.holder is Holder.CALLS or not waiting + partition.unfinished:
            return None
        limit = _PARTITION_SECONDS if partition.holder is Holder.NONE else max(_PARTITION_SECONDS, self._retry_seconds)
        offset = partition.fetched if partition.finished is None else partition.finished
        problem = (
            f"{name} has been at offset {offset or 0} for {limit:.0f} s: {waiting} records wait at the broker, "
            f"{partition.unfinished} were read, and none is being processed"
        )
        state = (partition.fetched, partition.finished, partition.unfinished, partition.holder)
        return _Subject(state, limit, problem)


def _with_trouble(problem: str, trouble: str) -> str:
    cause = f" (Kafka: {trouble.rstrip('.')})" if trouble else ""
    return f"{problem}{cause}; the worker exits so that another one takes over."
