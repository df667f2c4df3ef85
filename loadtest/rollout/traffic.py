"""Traffic of a model with two arms, as the outcomes that routers would report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventing.distinct import Distinct
from eventing.outcome import ArmOutcome, Outcome

MODEL, ROLLOUT, STABLE, CANARY = "flights", "flights-00002-0", "flights-00001", "flights-00002"
_PLAIN = ("errors",)


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
    shift: float = 0.0
    """How much higher the canary's scores are, in standard deviations."""
    sketches: bool = False
    """Report which keys each arm had."""
    every_request: bool = False
    """Report each request under a digest of its own, as if requests with one key were independent."""


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
        factors = random.gamma(traffic.spread, 1 / traffic.spread, count)[keys] if traffic.spread else np.ones(shape)
        trend = np.linspace(1.0, traffic.growth, traffic.windows)[:, None]
        self._rates = traffic.rate * factors * trend
        # One cause for all metrics, in part: they depend on each other.
        common = random.random(shape)
        self._draws = {
            name: np.where(random.random(shape) < 0.5, common, random.random(shape)) if len(traffic.metrics) > 1 else common
            for name in traffic.metrics
        }
        self._router = random.integers(0, traffic.routers, shape)
        self._scores = random.normal(0, 1, count)[keys] + random.normal(0, 0.3, shape) if traffic.scores else None

    def outcomes(self, window: int, percent: int) -> Iterator[Outcome]:
        """What each router reports of a window in which the canary had this percentage."""
        canary = self._positions[window] < percent / 100
        for router in range(self._traffic.routers):
            here = self._router[window] == router
            yield Outcome(
                router=f"router-{router}",
                model=MODEL,
                sequence=window + 1,
                rollout=ROLLOUT,
                started=float(window + 1),
                seconds=1.0,
                arms=[
                    self._arm(STABLE, window, 100 - percent, here & ~canary, 1.0),
                    self._arm(CANARY, window, percent, here & canary, self._traffic.ratio),
                ],
            )

    def _arm(self, revision: str, window: int, percent: int, mask: NDArray[np.bool_], ratio: float) -> ArmOutcome:
        digests = self._digests[window][mask]
        limits = self._rates[window][mask] * ratio
        bad = {name: digests[draws[window][mask] < limits] for name, draws in self._draws.items()}
        more: dict[str, Any] = {}
        if self._scores is not None:
            shift = self._traffic.shift if revision == CANARY else 0.0
            more = {"scores": (self._scores[window][mask] + shift).tolist(), "score_keys": digests.tolist()}
        if self._traffic.sketches:
            more["keys"] = _sketch(digests)
        return ArmOutcome(
            revision=revision,
            percent=percent,
            requests=len(digests),
            bad_keys={name: np.unique(keys).tolist() for name, keys in bad.items()},
            **_totals(bad),
            **more,
        )


def _totals(bad: Mapping[str, NDArray[np.uint64]]) -> dict[str, Any]:
    return {name: len(keys) for name, keys in bad.items()}


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


def _sketch(digests: NDArray[np.uint64]) -> Distinct:
    sketch = Distinct()
    for digest in digests.tolist():
        sketch.add(digest)
    return sketch
