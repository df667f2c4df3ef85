"""Traffic of a model with two arms, as the outcomes that routers would report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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
        if self._scores is not None:
            shift = self._traffic.shift if canary else 0.0
            fields |= {"scores": (self._scores[window][mask] + shift).tolist(), "score_keys": digests}
        if self._traffic.sketches:
            fields["keys"] = Distinct()
            for digest in digests:
                fields["keys"].add(digest)
        return fields


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
