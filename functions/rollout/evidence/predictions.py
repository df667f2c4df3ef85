"""Predictions that wait for their labels, in bounded memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from functions.rollout.evidence.sample import DIGESTS, Sample, threshold_of

MOST_PREDICTIONS = 1_280
"""Keys of which a prediction is held."""
MOST_EARLY = 128
"""Labels that are held until their prediction is reported."""
_SINGLE = struct.Struct("<f")
_LARGEST = 3e38


class Scored(NamedTuple):
    """A prediction as a router reports it: the digest of its id, or 0, and its score."""

    id: int
    score: float


class Prediction(NamedTuple):
    """The first prediction of a key."""

    id: int
    """The digest of its id in 32 bits, or 0 if it has none."""
    score: float = 0.0
    canary: bool = False
    percent: int = 0
    """The canary's percentage when the key was assigned; 0 if the prediction waits for no label any more."""


class Known(NamedTuple):
    """A label: what happened, for the prediction with the digest of this id, or else for the key with this digest."""

    value: float
    id: int = 0
    key: int = 0


class Joined(NamedTuple):
    """A prediction with its label."""

    prediction: Prediction
    value: float


Compares = Callable[[float, float], bool]
"""Whether a score and a label have a loss."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The first prediction of each key in a sample of the keys, with its arm, until its label arrives.

    A label is joined by the id of the prediction, or by the key. The first one counts. A key stays in the sample, so
    that neither a second label of its prediction nor a later prediction of it counts again. Which keys are in the
    sample depends on their digests and not on their arms, as in `Sample`.

    A label may be here before the router's report. So the last labels that match nothing are held for a while.
    """

    held: Mapping[int, Prediction] = field(default_factory=dict)
    """By the digest of the key."""
    halvings: int = 0
    early: tuple[Known, ...] = ()
    repeated: int = 0
    """Labels of predictions that had one already."""
    given_up: int = 0
    """Labels that have matched nothing and are not held any more."""
    incomparable: int = 0
    """Labels that have no loss with the score."""

    @property
    def waiting(self) -> int:
        """Predictions without a label."""
        return sum(prediction.percent > 0 for prediction in self.held.values())

    @property
    def unmatched(self) -> int:
        return self.given_up + len(self.early)

    def observe(
        self, canary: Mapping[int, Scored], rest: Mapping[int, Scored], *, percent: int, compares: Compares
    ) -> tuple[Predictions, list[Joined]]:
        """With the predictions of a window by the digests of their keys; also those that a label waited for."""
        sample, admitted = Sample(frozenset(self.held), self.halvings).admit([*canary, *rest], MOST_PREDICTIONS)
        if not admitted:
            return self, []
        held = dict(self.held)
        for digest in admitted:
            both = digest in canary and digest in rest  # two keys with one digest: neither waits for a label
            scored = canary.get(digest) or rest[digest]
            held[digest] = Prediction(short(scored.id), _single(scored.score), digest in canary, 0 if both else percent)
        if sample.halvings != self.halvings:
            held = {digest: prediction for digest, prediction in held.items() if digest in sample.digests}
        ids = {held[digest].id for digest in admitted if digest in held}
        found = [label for label in self.early if (label.id in ids if label.id else label.key in held)]
        early = tuple(label for label in self.early if label not in found) if found else self.early
        added = replace(self, held=held, halvings=sample.halvings, early=early)
        return added.label(found, compares) if found else (added, [])

    def label(self, labels: Iterable[Known], compares: Compares) -> tuple[Predictions, list[Joined]]:
        """With these labels; also the predictions that one of them is the first of, in the order of their keys.

        Another order could favour an arm.
        """
        held = dict(self.held)
        early = {(label.id, label.key): label for label in self.early}
        keys = {prediction.id: key for key, prediction in held.items() if prediction.id}
        joined: dict[int, Joined] = {}
        repeated = given_up = incomparable = 0
        for label in labels:
            key = keys.get(label.id) if label.id else label.key
            prediction = None if key is None else held.get(key)
            if key is None or prediction is None:
                if not label.id and label.key >= threshold_of(self.halvings):  # its key is not in the sample
                    given_up += 1
                elif (label.id, label.key) in early:
                    repeated += 1
                else:
                    early[label.id, label.key] = Known(_single(label.value), label.id, label.key)
            elif not prediction.percent:
                repeated += 1
            elif not compares(prediction.score, label.value):
                incomparable += 1
            else:
                joined[key] = Joined(prediction, label.value)
                held[key] = Prediction(prediction.id)
        kept = tuple(early.values())[-MOST_EARLY:]
        after = replace(
            self,
            held=held,
            early=kept,
            repeated=self.repeated + repeated,
            given_up=self.given_up + given_up + len(early) - len(kept),
            incomparable=self.incomparable + incomparable,
        )
        return after, [joined[key] for key in sorted(joined)]


def short(digest: int) -> int:
    """The digest of an id in 32 bits; 0 stays 0, for no id."""
    return digest % (DIGESTS - 1) + 1 if digest else 0


def _single(value: float) -> float:
    """A number as 32 bits have it."""
    single: float = _SINGLE.unpack(_SINGLE.pack(min(max(value, -_LARGEST), _LARGEST)))[0]
    return single
