"""Whether the worker moves: what has stood for too long although something waits. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from common.errors import TidegateError

_PARTITION_SECONDS = 60.0
# A round waits for a broker that does not answer, and joining a group for its slowest member; both have time-outs that are shorter.
_ROUND_SECONDS = 120.0
_MEMBER_SECONDS = 120.0


class Stalled(TidegateError):
    """Records wait and none is handled. Only another process can go on."""


class Held(Enum):
    """By whom the records of a partition that were read, and are not finished, are held."""

    NOBODY = "nobody"
    CALLS = "calls"
    """The sink is being called for them, or is to be: each call and all repetitions have an end, and are logged."""
    WRITES = "writes"
    """Their outputs are on the way into Kafka, or what was written of them is being looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An assigned partition. Offsets are the next ones: `fetched` from the broker, `finished` by the worker, `end` to be produced."""

    fetched: int | None
    finished: int | None
    end: int | None
    in_hand: int
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The worker at one moment. `answered`: the broker told the ends of partitions just now; `trouble`: why the last round failed."""

    topic: str
    group: str
    rounds: int
    member: bool
    answered: bool
    partitions: Mapping[int, Seen]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Subject:
    state: Hashable
    patience_seconds: float
    problem: str


class Watch:
    """Remembers since when each subject has stood, over looks that come about every `look_seconds`.

    The time between two looks counts as twice that at the most, since a process that was suspended did not wait.
    """

    def __init__(self, look_seconds: float, retry_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = 2 * look_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._looked_at = clock()
        self._stood: dict[str, tuple[Hashable, float]] = {}

    def look(self, sight: Sight) -> str | None:
        """What has stood for too long, in a sentence; None if nothing has."""
        now = self._clock()
        passed, self._looked_at = min(now - self._looked_at, self._longest), now
        before, self._stood = self._stood, {}
        problem = None
        for name, subject in self._subjects(sight):
            state, stood = before.get(name, (None, 0.0))
            stood = stood + passed if name in before and state == subject.state else 0.0
            self._stood[name] = subject.state, stood
            if stood >= subject.patience_seconds:
                problem = problem or subject.problem
        return problem and _with(problem, sight.trouble)

    def _subjects(self, sight: Sight) -> Iterator[tuple[str, _Subject]]:
        for number, seen in sight.partitions.items():
            if (subject := self._partition(f"partition {number} of {sight.topic}", seen)) is not None:
                yield f"partition {number}", subject
        yield "rounds", _Subject(sight.rounds, _ROUND_SECONDS, f"the worker has not asked Kafka for records for {_ROUND_SECONDS:.0f} s")
        if sight.answered and not sight.member:
            problem = (
                f"the worker has not become a member of the group {sight.group} for {_MEMBER_SECONDS:.0f} s, although the broker answers"
            )
            yield "member", _Subject(None, _MEMBER_SECONDS, problem)

    def _partition(self, name: str, seen: Seen) -> _Subject | None:
        waiting = max(0, (seen.end or 0) - (seen.fetched or 0))
        if seen.held is Held.CALLS or not waiting + seen.in_hand:
            return None
        patience = _PARTITION_SECONDS if seen.held is Held.NOBODY else max(_PARTITION_SECONDS, self._retry_seconds)
        offset = seen.fetched if seen.finished is None else seen.finished
        problem = (
            f"{name} has stood at offset {offset or 0} for {patience:.0f} s: {waiting} records wait at the broker, "
            f"{seen.in_hand} were read, and none is handled"
        )
        return _Subject((seen.fetched, seen.finished, seen.in_hand, seen.held), patience, problem)


def _with(problem: str, trouble: str) -> str:
    said = f" (Kafka: {trouble.rstrip('.')})" if trouble else ""
    return f"{problem}{said}; the worker ends so that another one goes on there."
