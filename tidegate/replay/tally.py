"""Counts of a replay, event by event, and what they amount to. Pure: memory grows by 32 bytes an event.

An event that the candidate's own version had answered, as during a canary, is counted but not compared.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.differences import Differences, differences, same_side
from tidegate.replay.answers import Answer, Kind
from tidegate.replay.candidate import Reply

_WORST = 20
_EXAMPLES = 10
_QUANTILES = (0.5, 0.9, 0.99)
# Points of a scatter plot: more show no more.
_MAX_POINTS = 2_000

Floats = NDArray[np.float64]


class Place(NamedTuple):
    """Where an event is, and which one it is."""

    id: str
    source: str
    partition: int
    offset: int
    timestamp: int


class Worst(NamedTuple):
    """An event whose scores differ much."""

    place: Place
    stable: float
    candidate: float

    @property
    def difference(self) -> float:
        """The candidate's score minus the stable one."""
        return self.candidate - self.stable


class FailedEvent(NamedTuple):
    """An event that only one of the revisions rejected, or both."""

    place: Place
    reason: str
    stable: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The scores of both revisions for the same events."""

    differences: Differences
    threshold: float
    same_side: int
    """Events whose scores are both at least the threshold, or both below it."""
    worst: tuple[Worst, ...]
    points: tuple[Floats, Floats]
    """Stable and candidate scores of some events, for a plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished tally. `agreement` is None when no event has a score of both."""

    events: int
    invalid: int
    """Records that are no events."""
    first_invalid: str
    """The place and the fault of the first of them."""
    outcomes: dict[tuple[str, str], int]
    """The number of events by what the candidate did and what the stable revision had done."""
    own: int
    """Events that the candidate's own version had answered."""
    failed: tuple[FailedEvent, ...]
    problems: dict[str, int]
    agreement: Agreement | None
    candidate_ms: dict[float, float]
    """Quantiles of the duration of a call."""
    stable_ms: dict[float, float]
    """Quantiles of the time from an event's record to that of its answer."""


class Tally:
    """Counts events. `own_versions` are versions that the candidate serves and the stable revision does not."""

    def __init__(self, own_versions: frozenset[str], threshold: float) -> None:
        self._own_versions = own_versions
        self._threshold = threshold
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._own = self._invalid = self._serial = 0
        self._first_invalid = ""
        self._stable, self._candidate = array("d"), array("d")
        self._delays = array("d")
        self._worst: list[tuple[float, int, Worst]] = []
        self._failed: list[FailedEvent] = []
        self._problems: Counter[str] = Counter()

    @property
    def events(self) -> int:
        """The events so far, without records that are none."""
        return self._serial

    def add_invalid(self, reasons: Sequence[str]) -> None:
        """Count records that are no events, by the reason of each."""
        self._first_invalid = self._first_invalid or next(iter(reasons), "")
        self._invalid += len(reasons)

    def add(self, place: Place, reply: Reply, answer: Answer) -> None:
        """Count one event."""
        self._serial += 1
        if answer.written_ms:
            self._delays.append(max(0.0, float(answer.written_ms - place.timestamp)))
        if answer.kind is Kind.SCORED and answer.version in self._own_versions:
            self._own += 1
            return
        self._outcomes[_of_candidate(reply), _of_stable(answer)] += 1
        if reply.problem is not None:
            self._problems[reply.problem.title] += 1
            if len(self._failed) < _EXAMPLES:
                self._failed.append(FailedEvent(place, reply.problem.detail, answer.kind))
        elif not (math.isnan(reply.score) or math.isnan(answer.score)):
            self._compare(place, answer.score, reply.score)

    def result(self, call_seconds: Sequence[float]) -> Result:
        """Return what was counted; `call_seconds` are the durations of the candidate's calls."""
        return Result(
            events=self._serial,
            invalid=self._invalid,
            first_invalid=self._first_invalid,
            outcomes=dict(self._outcomes),
            own=self._own,
            failed=tuple(self._failed),
            problems=dict(self._problems.most_common()),
            agreement=self._agreement() if self._stable else None,
            candidate_ms=_quantiles([1000 * seconds for seconds in call_seconds]),
            stable_ms=_quantiles(self._delays),
        )

    def _compare(self, place: Place, stable: float, candidate: float) -> None:
        self._stable.append(stable)
        self._candidate.append(candidate)
        entry = (abs(candidate - stable), -self._serial, Worst(place, stable, candidate))
        if len(self._worst) < _WORST:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def _agreement(self) -> Agreement:
        stable, candidate = (np.frombuffer(values.tobytes(), dtype=np.float64) for values in (self._stable, self._candidate))
        step = -(-len(stable) // _MAX_POINTS)
        worst = [item for distance, _, item in sorted(self._worst, reverse=True) if distance > 0]
        return Agreement(
            differences=differences(stable, candidate),
            threshold=self._threshold,
            same_side=same_side(stable, candidate, self._threshold),
            worst=tuple(worst),
            points=(stable[::step], candidate[::step]),
        )


def _of_candidate(reply: Reply) -> str:
    if reply.problem is not None:
        return "rejected"
    return "without a score" if math.isnan(reply.score) else "scored"


def _of_stable(answer: Answer) -> str:
    if answer.kind is Kind.SCORED:
        return "without a score" if math.isnan(answer.score) else "scored"
    return "dead-lettered" if answer.kind is Kind.REJECTED else "not answered"


def _quantiles(values: Sequence[float]) -> dict[float, float]:
    return dict(zip(_QUANTILES, np.quantile(values, _QUANTILES).tolist(), strict=True)) if len(values) else {}
