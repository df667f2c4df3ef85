"""Evidence that the canary's scores are distributed differently from the stable arm's."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from functions.rollout.evidence.mixture import e_value
from functions.rollout.evidence.sample import Sample

BINS = 10
REFERENCE_SCORES = 256
"""Scores of the stable arm that the bins are made from."""
# The weight of equality in the estimate of a bin's share, in scores: with few scores the process bets little.
_PRIOR = 20.0


@dataclass(frozen=True, slots=True)
class Drift:
    """Two-sided e-process of the division of scores between canary and rest, in bins of equal reference frequency.

    The bins are quantiles of the stable arm's first scores of the rollout, which are not counted otherwise, and never
    change. Each key then counts once, by its first score. If the scores do not depend on the arm, a score in any bin
    is the canary's with probability w. The process bets on the share in its bin as it was before, relative to what the
    weights at the time led to expect, so that a change of the weight is not taken for a drift.
    """

    reference: tuple[float, ...] = ()
    """Scores of the stable arm that are collected until there are enough, then none."""
    edges: tuple[float, ...] = ()
    """The inner bounds of the bins, once they are fixed."""
    canary: tuple[int, ...] = (0,) * BINS
    rest: tuple[int, ...] = (0,) * BINS
    expected: tuple[float, ...] = (0.0,) * BINS
    """Scores in each bin that would be the canary's if the arms were equal: the sum of the weights."""
    log: float = 0.0
    sample: Sample = field(default_factory=Sample)

    def observe(self, canary: Mapping[int, float], rest: Mapping[int, float], stable: Mapping[int, float], *, weight: float) -> Drift:
        """The process after the scores of a window by the digests of their keys; `rest` includes the stable arm's."""
        if not 0 < weight < 1 or not (canary or rest):
            return self
        sample, admitted = self.sample.admit([*canary, *rest])
        if not admitted:
            return self
        if not self.edges:
            return self._collect(sample, [stable[digest] for digest in admitted if digest in stable])
        return self._count(sample, admitted, canary, rest, weight)

    def _collect(self, sample: Sample, scores: list[float]) -> Drift:
        # Keys of the canary are in the sample from here on too, though their scores are not used: if only the stable
        # arm's were, the most active keys, which come first, would be missing from one arm later.
        reference = (self.reference + tuple(scores))[:REFERENCE_SCORES]
        if len(reference) < REFERENCE_SCORES:
            return replace(self, sample=sample, reference=reference)
        ordered = sorted(reference)
        edges = tuple(ordered[index * len(ordered) // BINS] for index in range(1, BINS))
        return replace(self, sample=sample, reference=(), edges=edges)

    def _count(self, sample: Sample, admitted: list[int], canary: Mapping[int, float], rest: Mapping[int, float], weight: float) -> Drift:
        ones, zeros, expected, log = list(self.canary), list(self.rest), list(self.expected), self.log
        for digest in admitted:
            if digest in canary and digest in rest:  # two keys with one digest
                continue
            score = canary[digest] if digest in canary else rest[digest]
            place = bisect_right(self.edges, score)
            share = _share(ones[place], zeros[place], expected[place], weight)
            log += math.log(share / weight if digest in canary else (1 - share) / (1 - weight))
            ones[place] += digest in canary
            zeros[place] += digest not in canary
            expected[place] += weight
        return replace(self, sample=sample, canary=tuple(ones), rest=tuple(zeros), expected=tuple(expected), log=log)

    @property
    def e_value(self) -> float:
        return e_value((self.log,))


def _share(canary: int, rest: int, expected: float, weight: float) -> float:
    """The estimated probability that the next score in a bin is the canary's.

    With a constant weight w this is (canary + k*w) / (canary + rest + k).
    """
    ahead = (canary + _PRIOR * weight) / (expected + _PRIOR * weight)
    behind = (rest + _PRIOR * (1 - weight)) / (canary + rest - expected + _PRIOR * (1 - weight))
    return weight * ahead / (weight * ahead + (1 - weight) * behind)
