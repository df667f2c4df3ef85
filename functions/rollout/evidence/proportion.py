"""Evidence about one proportion against a bound: that failures are rarer, or that disagreement is more frequent."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from functions.rollout.evidence.mixture import e_value
from functions.rollout.evidence.sample import Sample

_BELOW = (0.05, 0.1, 0.25, 0.5, 0.75)
_ABOVE = (1.5, 2.0, 3.0, 5.0)


def evidence_below(bad: int, total: int, *, bound: float) -> float:
    """The e-value against a proportion of at least `bound`, after `bad` of `total` keys."""
    return _evidence(bad, total, bound, [bound * factor for factor in _BELOW])


def evidence_above(bad: int, total: int, *, bound: float) -> float:
    """The e-value against a proportion of at most `bound`, after `bad` of `total` keys."""
    return _evidence(bad, total, bound, [min(bound * factor, (1 + bound) / 2) for factor in _ABOVE])


def _evidence(bad: int, total: int, bound: float, alternatives: Sequence[float]) -> float:
    good = max(total - bad, 0)
    return e_value([bad * math.log(rate / bound) + good * math.log((1 - rate) / (1 - bound)) for rate in alternatives])


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How often a shadow answers differently from the revision that the caller got the response of.

    Each key counts once, by its first pair of answers.
    """

    pairs: int = 0
    different: int = 0
    sample: Sample = field(default_factory=Sample)

    def observe(self, agreeing: Collection[int], differing: Collection[int]) -> Disagreement:
        """The counts after the keys of a window; a key with both kinds of pairs in it differs."""
        sample, admitted = self.sample.admit([*agreeing, *differing])
        different = len(set(differing).intersection(admitted))
        return Disagreement(self.pairs + len(admitted), self.different + different, sample)

    def e_value(self, *, tolerated: float) -> float:
        return evidence_above(self.different, self.pairs, bound=tolerated)
