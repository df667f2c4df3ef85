"""Evidence that bad outcomes are more frequent in the canary: errors, rejections or slow responses."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from functions.rollout.evidence.mixture import e_value
from functions.rollout.evidence.sample import Sample

RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""The alternatives, as multiples of the tolerated ratio."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One-sided e-process of the division of bad outcomes between the canary and the rest.

    If the arms are equal, the first bad outcome of a key comes from the canary with probability w, the weight of the
    canary then: the key's arm is decided by a hash that the outcome does not depend on. With a tolerated ratio rho of
    the canary's rate to the others' the probability is at most p = w*rho / (w*rho + 1-w). Each alternative r multiplies
    its e-value by q/p or (1-q)/(1-p), where q is p with r in place of rho. The process is the mean over RATIOS.

    Each key counts once in a rollout, by its first bad outcome: later ones of it are not independent. A key keeps its
    arm when the weight changes, except those that move to the canary. So the arm of a key that has its first bad
    outcome later in a ramp is still random with the weight in force then: if the arms are equal, that the key had none
    before says nothing about its arm. If they are not equal and most keys have bad outcomes, it does: a worse canary
    has fewer keys left without one, which makes the test more careful. A better canary has more left. At a constant
    weight its share of all counted keys stays below w all the same; through a ramp nothing guarantees that, and
    loadtest/rollout measures it.

    With three arms or more, the rest are all others together, and the ratio is to their mean rate by weight.
    """

    logs: tuple[float, ...] = (0.0,) * len(RATIOS)
    canary: int = 0
    """Keys counted whose first bad outcome came from the canary."""
    rest: int = 0
    sample: Sample = field(default_factory=Sample)

    def observe(self, canary: Collection[int], rest: Collection[int], *, weight: float, tolerated: float) -> Comparison:
        """The process after the keys with bad outcomes in one window, in which the canary had this weight.

        A window in which only one arm had traffic says nothing; its keys are not counted.
        """
        if not 0 < weight < 1 or not (canary or rest):
            return self
        sample, admitted = self.sample.admit([*canary, *rest])
        if not admitted:
            return self
        # A digest of both is one of two keys, which happens once in 2**32 pairs. It is not attributed to either.
        both = set(canary) & set(rest) if canary and rest else set()
        ones = sum(digest not in both for digest in set(canary).intersection(admitted))
        zeros = len(admitted) - len(both.intersection(admitted)) - ones
        null = _share(weight, tolerated)
        alternatives = [_share(weight, tolerated * ratio) for ratio in RATIOS]
        return Comparison(
            logs=tuple(
                log + ones * math.log(share / null) + zeros * math.log((1 - share) / (1 - null))
                for log, share in zip(self.logs, alternatives, strict=True)
            ),
            canary=self.canary + ones,
            rest=self.rest + zeros,
            sample=sample,
        )

    @property
    def e_value(self) -> float:
        return e_value(self.logs)


def _share(weight: float, ratio: float) -> float:
    """The probability that a bad outcome is the canary's, where its rate is `ratio` times that of the others."""
    return weight * ratio / (weight * ratio + 1 - weight)
