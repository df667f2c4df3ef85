"""Whether the canary's predictions come true as often as those of the rest: predictions, labels and losses together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from functions.rollout.evidence.loss import Kind, Labelled, Loss
from functions.rollout.evidence.predictions import Joined, Known, Predictions, Scored


@dataclass(frozen=True, slots=True)
class Correctness:
    """The losses of labelled keys, and the predictions that wait for labels. Each key counts once in a rollout."""

    loss: Loss = field(default_factory=Loss)
    predictions: Predictions = field(default_factory=Predictions)

    def observe(self, canary: Mapping[int, Scored], rest: Mapping[int, Scored], *, percent: int, kind: Kind) -> Correctness:
        """With the predictions of a window by the digests of their keys.

        A window in which only one arm had traffic says nothing; its keys are not counted.
        """
        if not 0 < percent < 100 or not (canary or rest):
            return self
        loss = self._loss_of(kind)
        predictions, joined = self.predictions.observe(canary, rest, percent=percent, compares=loss.compares)
        return replace(self, loss=loss.observe(map(_labelled, joined)), predictions=predictions)

    def label(self, labels: Iterable[Known], *, kind: Kind) -> Correctness:
        """With these labels. One that is repeated, or matches nothing, is only counted."""
        loss = self._loss_of(kind)
        predictions, joined = self.predictions.label(labels, loss.compares)
        return replace(self, loss=loss.observe(map(_labelled, joined)), predictions=predictions)

    def _loss_of(self, kind: Kind) -> Loss:
        """The losses so far; none if they are of another kind, since a policy was changed."""
        return self.loss if self.loss.kind == kind else Loss(kind=kind)


def _labelled(joined: Joined) -> Labelled:
    prediction, value = joined
    return Labelled(prediction.score, value, prediction.canary, prediction.percent / 100)
