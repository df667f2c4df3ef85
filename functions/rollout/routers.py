"""Which outcomes of which router instances were applied, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import blake2b

MOST_ROUTERS = 32
"""Router instances that are remembered. There are as many at a time as the router has replicas; the rest have ended."""
WINDOW = 64
"""Sequence numbers of an instance above the contiguous ones, by which outcomes may overtake each other."""


class Ignored(Enum):
    """Why an outcome was not applied."""

    DUPLICATE = "duplicate"
    """It was applied before, or so many after it were that it is given up."""
    LATE = "late"
    """Whether it was applied before is not known any more."""
    EARLY = "early"
    """It is from before the rollout's start."""
    FUTURE = "future"
    """It is from the future: one of the clocks is wrong."""
    FOREIGN = "foreign"
    """It is of another rollout or another model."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The sequence numbers of one router instance that were applied, or will not be applied any more."""

    upto: int
    """All numbers up to here."""
    above: int
    """A bit for each of the WINDOW numbers after it."""
    latest: float
    """The start of the latest window that was applied, by the router's clock."""
    horizon: float
    """Windows that do not start after it may have been applied before this instance was forgotten."""

    def add(self, sequence: int, started: float) -> Seen:
        upto, above = self.upto, self.above
        if sequence > upto + WINDOW:  # the numbers that fall out of the window are given up
            shift = sequence - upto - WINDOW
            upto, above = upto + shift, above >> shift
        above |= 1 << (sequence - upto - 1)
        while above & 1:
            upto, above = upto + 1, above >> 1
        return replace(self, upto=upto, above=above, latest=max(self.latest, started))


@dataclass(frozen=True, slots=True)
class Routers:
    """The outcomes that were applied, by router instance, with the one that was heard of last at the end.

    When there are more than MOST_ROUTERS, the instance that was silent for longest is forgotten. An outcome of it that
    is delivered again is not taken for a new one, since its window does not start after `horizon`; neither is that of
    an unknown instance whose clock is behind it. What is lost is lost for all arms.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)
    horizon: float = 0.0

    def check(self, router: str, sequence: int, started: float) -> Ignored | None:
        """Why this outcome is not to be applied; None if it is."""
        seen = self.seen.get(_short(router))
        if started <= (self.horizon if seen is None else seen.horizon):
            return Ignored.LATE
        if seen is None or sequence > seen.upto + WINDOW:
            return None
        if sequence <= seen.upto:
            return Ignored.DUPLICATE
        return Ignored.DUPLICATE if seen.above >> (sequence - seen.upto - 1) & 1 else None

    def add(self, router: str, sequence: int, started: float) -> Routers:
        """With this outcome as applied."""
        name, horizon = _short(router), self.horizon
        seen = dict(self.seen)
        before = seen.pop(name, None) or Seen(max(sequence - WINDOW, 0), 0, started, horizon)
        seen[name] = before.add(sequence, started)
        if len(seen) > MOST_ROUTERS:
            horizon = max(horizon, seen.pop(next(iter(seen))).latest)
        return Routers(seen, horizon)


def _short(router: str) -> str:
    """The name of an instance in 16 characters, whatever its length."""
    return blake2b(router.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
