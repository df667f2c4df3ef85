"""Traffic of a model with two arms, as the outcomes that routers would report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventing.distinct import Distinct
from eventing.label import Label, prediction_digest
from eventing.outcome import ArmOutcome, Outcome

MODEL, ROLLOUT, STABLE, CANARY = "flights", "flights-00002-0", "flights-00001", "flights-00002"
_PLAIN = ("errors",)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What happens, and how well the revisions predict it.

    Each key has a probability of its own, of which the logit is normal with this `spread`. In the mean it goes from
    that of `base` to that of `last` until the end. The stable revision predicts the probability; the canary one whose
    logit has the correlation `skill` with it, and is higher by `shift`. Of the requests, the share `labelled` gets a
    label, which arrives after up to `delay` windows, and again with probability `twice`.
    """

    base: float = 0.2
    last: float = 0.2
    spread: float = 1.5
    skill: float = 1.0
    shift: float = 0.0
    labelled: float = 0.5
    delay: int = 4
    twice: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What callers do, and how the two revisions respond.

    A window has `requests` requests, spread over the `routers`. With `keys`, each is drawn from so many keys by Zipf's
    law with exponent `tail`; otherwise each request has a key of its own. A key's rate of bad outcomes is `rate` times
    a factor of its own, drawn from the gamma distribution with mean 1 and shape `spread` (0: the same for all). It goes
    to `growth` times as much until the end. In the canary it is `ratio` times as much.
    """

    windows: int = 50
    requests: int = 300
    rate: float = 0.05
    ratio: float = 1.0
    keys: int = 0
    tail: float = 1.2
    spread: float = 0.0
    growth: float = 1.0
    metrics: tuple[str, ...] = _PLAIN
    routers: int = 1
    scores: bool = False
    """A score of each request, most of which is its key's own."""
    sketches: bool = False
    """Report which keys each arm had."""
    outcomes: Outcomes | None = None
    """What happens after the predictions; without it, there are no labels."""
    every_request: bool = False
    """Report each request under a digest of its own, as if requests with one key were independent."""


class _Bad(NamedTuple):
    """A request with a bad outcome in at least one arm."""

    metric: str
    digest: int
    position: float
    draw: float
    router: int


class Run:
    """One random course of the traffic. Keys, times and outcomes do not depend on how it is split, if the ratio is 1."""

    def __init__(self, traffic: Traffic, random: np.random.Generator) -> None:
        self._traffic = traffic
        shape = (traffic.windows, traffic.requests)
        keys = _keys(traffic, random)
        count = int(keys.max()) + 1
        named = random.integers(0, 2**32, count, dtype=np.uint64)[keys]
        self._digests = random.integers(0, 2**32, shape, dtype=np.uint64) if traffic.every_request else named
        self._positions = random.random(count)[keys]  # below the canary's weight: in the canary
        self._routers = random.integers(0, traffic.routers, shape)
        self._scores = random.normal(0, 1, count)[keys] + random.normal(0, 0.3, shape) if traffic.scores else None
        self._canary_scores = self._scores
        self._labels: list[list[Label]] = [[] for _ in range(traffic.windows)]
        if traffic.outcomes is not None:
            self._predict(traffic.outcomes, random, random.normal(0, 1, count)[keys])
        factors = random.gamma(traffic.spread, 1 / traffic.spread, count)[keys] if traffic.spread else 1.0
        rates = traffic.rate * factors * np.linspace(1.0, traffic.growth, traffic.windows)[:, None]
        self._bad: list[list[_Bad]] = [[] for _ in range(traffic.windows)]
        # One cause for all metrics, in part: they depend on each other.
        common = random.random(shape)
        for name in traffic.metrics:
            draws = np.where(random.random(shape) < 0.5, common, random.random(shape)) if len(traffic.metrics) > 1 else common
            self._collect(name, draws / rates)

    def _collect(self, metric: str, draws: NDArray[np.float64]) -> None:
        """Keep the requests that are bad in either arm: those whose draw, in units of the key's rate, is small enough."""
        where = np.nonzero(draws < max(self._traffic.ratio, 1.0))
        columns = (self._digests[where], self._positions[where], draws[where], self._routers[where])
        for window, *fields in zip(where[0].tolist(), *(column.tolist() for column in columns), strict=True):
            self._bad[window].append(_Bad(metric, *fields))

    def _predict(self, outcomes: Outcomes, random: np.random.Generator, deviations: NDArray[np.float64]) -> None:
        """Draw what happens, the scores that the revisions give it, and the labels, by the window of their arrival."""
        shape = deviations.shape
        means = np.linspace(_logit(outcomes.base), _logit(outcomes.last), shape[0])[:, None]
        others = outcomes.skill * deviations + (1 - outcomes.skill**2) ** 0.5 * random.normal(0, 1, shape)
        self._scores = _probability(means + outcomes.spread * deviations)
        self._canary_scores = _probability(means + outcomes.spread * others + outcomes.shift)
        happened = random.random(shape) < self._scores
        arrivals = np.arange(shape[0])[:, None] + random.integers(0, outcomes.delay + 1, shape)
        again = np.where(random.random(shape) < outcomes.twice, arrivals + random.integers(0, outcomes.delay + 1, shape), shape[0])
        for window, item in np.argwhere(random.random(shape) < outcomes.labelled).tolist():
            label = Label(model=MODEL, value=float(happened[window, item]), prediction=_id(window, item))
            for arrival in (arrivals[window, item], again[window, item]):
                if arrival < shape[0]:
                    self._labels[arrival].append(label)

    def labels(self, window: int) -> list[Label]:
        """The labels that arrive in a window."""
        return self._labels[window]

    def outcomes(self, window: int, percent: int) -> Iterator[Outcome]:
        """What each router reports of a window in which the canary had this percentage."""
        for router in range(self._traffic.routers):
            yield Outcome(
                router=f"router-{router}",
                model=MODEL,
                sequence=window + 1,
                rollout=ROLLOUT,
                started=float(window + 1),
                seconds=1.0,
                arms=[self._arm(STABLE, window, router, percent), self._arm(CANARY, window, router, percent)],
            )

    def _arm(self, revision: str, window: int, router: int, percent: int) -> ArmOutcome:
        canary, weight = revision == CANARY, percent / 100
        limit = self._traffic.ratio if canary else 1.0
        bad: dict[str, list[int]] = {name: [] for name in self._traffic.metrics}
        for item in self._bad[window]:
            if (item.position < weight) is canary and item.draw < limit and item.router == router:
                bad[item.metric].append(item.digest)
        return ArmOutcome(
            revision=revision,
            percent=percent if canary else 100 - percent,
            bad_keys={name: list(dict.fromkeys(digests)) for name, digests in bad.items()},
            errors=len(bad.get("errors", ())),
            **self._of_all_requests(window, router, weight, canary=canary),
        )

    def _of_all_requests(self, window: int, router: int, weight: float, *, canary: bool) -> dict[str, Any]:
        if not self._traffic.sketches and self._scores is None:
            return {}
        mask = ((self._positions[window] < weight) == canary) & (self._routers[window] == router)
        digests = self._digests[window][mask].tolist()
        fields: dict[str, Any] = {"requests": len(digests)}
        scores = self._canary_scores if canary else self._scores
        if scores is not None:
            fields |= {"scores": scores[window][mask].tolist(), "score_keys": digests}
        if self._traffic.outcomes is not None:
            fields["score_ids"] = [_digest(window, item) for item in np.nonzero(mask)[0].tolist()]
        if self._traffic.sketches:
            fields["keys"] = Distinct()
            for digest in digests:
                fields["keys"].add(digest)
        return fields


def _id(window: int, item: int) -> str:
    return f"{window}-{item}"


@cache  # the same ids in each run
def _digest(window: int, item: int) -> int:
    return prediction_digest(_id(window, item))


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return probabilities


def _keys(traffic: Traffic, random: np.random.Generator) -> NDArray[np.int64]:
    shape = (traffic.windows, traffic.requests)
    if not traffic.keys:
        return np.arange(traffic.windows * traffic.requests).reshape(shape)
    return np.searchsorted(_zipf(traffic.keys, traffic.tail), random.random(shape)).clip(0, traffic.keys - 1)


@lru_cache
def _zipf(keys: int, tail: float) -> NDArray[np.float64]:
    weights = np.arange(1, keys + 1, dtype=np.float64) ** -tail
    cumulative: NDArray[np.float64] = np.cumsum(weights / weights.sum())
    return cumulative
