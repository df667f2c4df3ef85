"""How a run went on: how soon each partition moved after a fault had healed, and the fewest results of a minute. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtest.chaos.history import Disturbance, History, Place
from loadtest.chaos.workload import Kind

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Heal:
    """The time until every partition with waiting records had a result again, after the last of some faults healed."""

    after: str
    """The faults, which overlapped."""
    seconds: float
    """Infinite if a partition moved no more."""
    judged: bool
    """False if the next fault began before all had moved, and before `stalled_seconds` were over."""


@dataclass(frozen=True, slots=True)
class Progress:
    heals: tuple[Heal, ...]
    fewest: int | None
    """The fewest results in any minute with a fault in it; None without such a minute."""

    @property
    def slowest(self) -> float | None:
        return max((heal.seconds for heal in self.heals if heal.judged), default=None)

    def stalled(self, seconds: float) -> list[Heal]:
        return [heal for heal in self.heals if heal.judged and heal.seconds > seconds]


def measure(history: History, stalled_seconds: float) -> Progress:
    finished = _finished(history)
    by_partition = _by_partition(history, finished)
    heals = []
    episodes = _episodes(history.disturbances)
    for index, episode in enumerate(episodes):
        healed = max(one.healed for one in episode)
        following = episodes[index + 1][0].began if index + 1 < len(episodes) else float("inf")
        seconds = max((_moved_after(times, healed) for times in by_partition.values()), default=0.0)
        judged = healed + min(seconds, stalled_seconds) <= following
        heals.append(Heal(", ".join(one.name for one in episode), seconds, judged))
    return Progress(tuple(heals), _fewest(sorted(finished.values()), history))


def _finished(history: History) -> dict[Place, float]:
    """Return when each record had its first answer."""
    finished: dict[Place, float] = {}
    for one in history.written:
        if one.origin is not None:
            finished[one.origin] = min(one.time, finished.get(one.origin, one.time))
    return finished


def _by_partition(history: History, finished: Mapping[Place, float]) -> dict[int, list[tuple[float, float]]]:
    """Return when the records of each partition were sent and answered."""
    times: dict[int, list[tuple[float, float]]] = {}
    for one in history.sent:
        if one.kind is not Kind.TOMBSTONE:
            times.setdefault(one.place.partition, []).append((one.time, finished.get(one.place, float("inf"))))
    return times


def _moved_after(times: Iterable[tuple[float, float]], moment: float) -> float:
    """Return the seconds until one of the records that waited at a moment is answered; 0 if none waited."""
    return min((answered - moment for sent, answered in times if sent <= moment < answered), default=0.0)


def _episodes(disturbances: Iterable[Disturbance]) -> list[list[Disturbance]]:
    """Group the faults that overlap."""
    episodes: list[list[Disturbance]] = []
    healed = float("-inf")
    for one in sorted(disturbances, key=lambda one: one.began):
        if one.began > healed:
            episodes.append([])
        episodes[-1].append(one)
        healed = max(healed, one.healed)
    return episodes


def _fewest(answered: Sequence[float], history: History) -> int | None:
    """Return the fewest results in a minute in which records were sent and something was disturbed."""
    if not history.sent:
        return None
    begin, end = min(one.time for one in history.sent), max(one.time for one in history.sent)
    # The extremes of a sliding window of that length are at the moments where its edges meet those of a fault.
    starts = [start for one in history.disturbances for start in (one.began, one.healed, one.healed - WINDOW_SECONDS)]
    return min(
        (
            bisect_right(answered, start + WINDOW_SECONDS) - bisect_right(answered, start)
            for start in starts
            if begin <= start and start + WINDOW_SECONDS <= end
        ),
        default=None,
    )
