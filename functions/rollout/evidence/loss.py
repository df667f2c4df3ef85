"""Evidence that the canary's predictions are less correct, by what truly happened."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from functions.rollout.evidence.mixture import e_value

Kind = Literal["log", "absolute"]
THETAS = (0.5, 1.0, 2.0, 4.0)
"""The alternatives: how much more frequent higher losses are in the canary, as exponents."""
_TILTS = (*THETAS, *(-theta for theta in THETAS))
# Before the first label: one of each loss from 0 to 1 with the same probability.
_PRIOR = tuple(math.expm1(tilt) / tilt for tilt in _TILTS)
# A label that a model gave no probability to at all.
_LEAST_PROBABILITY = 1e-15


class Labelled(NamedTuple):
    """A prediction of which the outcome is known. `weight` is the canary's when the prediction's key was assigned."""

    score: float
    value: float
    canary: bool
    weight: float


@dataclass(frozen=True, slots=True)
class ArmLoss:
    """The labelled keys of an arm, for display."""

    keys: int = 0
    loss: float = 0.0
    """The mean: the log loss in nats, or the absolute error."""
    wrong: int = 0
    """Keys that got the other class, by log loss."""

    def add(self, loss: float, *, wrong: bool) -> ArmLoss:
        return ArmLoss(self.keys + 1, self.loss + (loss - self.loss) / (self.keys + 1), self.wrong + wrong)


@dataclass(frozen=True, slots=True)
class Loss:
    """Two e-processes of the division of losses between the canary and the rest: that it is worse, and that it is better.

    If the arms are equal, the loss of a labelled key says nothing about its arm: it is the canary's with probability w,
    the weight in force when the key was assigned, whatever the losses are and however they change. With u in [0, 1] of
    the loss, each alternative theta bets that the canary's losses are tilted by exp(theta * u):
    q = w*t / (w*t + 1-w), where t = exp(theta * u) / m, and m is the mean of exp(theta * u) over EARLIER keys. So the
    expectation of q/w or (1-q)/(1-w) over the arm is exactly one. The processes are the means over THETAS, and over
    their negatives.

    Of a probability, u is the squared error (Brier 1950). Its mean is least for true probabilities, as that of the log
    loss (Gneiting and Raftery 2007, section 3), and it is bounded. 1 - p of what happened would favour a canary that is
    too sure.

    The caller counts each key once, and takes labels in an order that does not depend on the arm.
    """

    kind: Kind = "log"
    logs: tuple[float, ...] = (0.0,) * len(_TILTS)
    means: tuple[float, ...] = _PRIOR
    """Of exp(tilt * u)."""
    error: float = 0.0
    """The mean absolute error of all keys."""
    canary: ArmLoss = ArmLoss()
    rest: ArmLoss = ArmLoss()

    def compares(self, score: float, value: float) -> bool:
        """Whether there is a loss: log loss is of a label that is 0 or 1, and of a probability."""
        return self.kind == "absolute" or (value in (0.0, 1.0) and 0 <= score <= 1)

    def observe(self, labelled: Iterable[Labelled]) -> Loss:
        """The processes after these keys, which `compares` takes, in this order."""
        logs, means, error = list(self.logs), list(self.means), self.error
        arms = {True: self.canary, False: self.rest}
        for one in labelled:
            count = arms[True].keys + arms[False].keys
            distance = abs(one.score - one.value)
            u = distance**2 if self.kind == "log" else _ratio(distance, error if count else distance)
            for index, tilt in enumerate(_TILTS):
                tilted = math.exp(tilt * u)
                logs[index] += _gain(tilted / means[index], one)
                means[index] += (tilted - means[index]) / (count + 2)  # the prior counts as one key
            error += (distance - error) / (count + 1)
            arms[one.canary] = self._added(arms[one.canary], one, distance)
        return replace(self, logs=tuple(logs), means=tuple(means), error=error, canary=arms[True], rest=arms[False])

    def _added(self, arm: ArmLoss, one: Labelled, distance: float) -> ArmLoss:
        if self.kind == "absolute":
            return arm.add(distance, wrong=False)
        loss = -math.log(max(1 - distance, _LEAST_PROBABILITY))
        return arm.add(loss, wrong=(one.score >= 0.5) != (one.value == 1))

    @property
    def worse(self) -> float:
        """The e-value of a canary that is less correct."""
        return e_value(self.logs[: len(THETAS)])

    @property
    def better(self) -> float:
        """The e-value of a canary that is more correct."""
        return e_value(self.logs[len(THETAS) :])


def _gain(tilt: float, one: Labelled) -> float:
    """The logarithm of q/w, or of (1-q)/(1-w)."""
    return (math.log(tilt) if one.canary else 0.0) - math.log(one.weight * tilt + 1 - one.weight)


def _ratio(error: float, mean: float) -> float:
    """An error in [0, 1], where 0.5 is the mean of those before."""
    return error / (error + mean) if error else 0.0
