"""How many replicas a revision should have: Knative's pod autoscaler in small, a function of time and observations.

The stable window's mean decides in quiet times; when the last tenth of it (the panic window) asks for twice of what there is, its
mean decides, and nothing is taken away until that has been over for a stable window.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from tidegate.local.objects.scaling import Decision, Scaling

_UP_RATE = 1000.0
_DOWN_RATE = 2.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What happened since the previous one; `time` is a monotonic clock's, in seconds.

    `concurrency` is the mean number of requests that were held or in flight, `rate` the requests that came a second;
    `in_flight` and `replicas` (ready or starting) are the numbers at this moment.
    """

    time: float
    concurrency: float
    rate: float
    in_flight: int
    replicas: int


class Autoscaler:
    """Remembers what its windows need; `start` is the time at which the revision left zero."""

    def __init__(self, start: float) -> None:
        self._last_time = self._last_active = start
        self._values: deque[tuple[float, float, float]] = deque()
        self._panic_since: float | None = None
        self._panic_peak = 0
        self._proposals: deque[tuple[float, int]] = deque()

    def decide(self, seen: Observation, scaling: Scaling) -> Decision:
        self._record(seen, scaling)
        stable, panic = self._mean(seen.time, scaling.window), self._mean(seen.time, scaling.panic_window)
        wanted = self._delayed(seen.time, self._by_load(seen, stable, panic, scaling), scaling.scale_down_delay)
        mean = panic if self._panic_since is not None else stable
        return self._bounded(seen, wanted, _load_text(mean, scaling), scaling)

    def _record(self, seen: Observation, scaling: Scaling) -> None:
        value = seen.rate if scaling.metric == "rps" else seen.concurrency
        span = max(seen.time - self._last_time, 1e-9)
        self._last_time = seen.time
        self._values.append((seen.time, value, span))
        while self._values[0][0] <= seen.time - scaling.window:
            self._values.popleft()
        if value > 0 or seen.in_flight:
            self._last_active = seen.time

    def _mean(self, time: float, window: float) -> float:
        # Only over what was observed: a revision that has just started is not taken for an idle one.
        recent = [(value, span) for at, value, span in self._values if at > time - window] or [self._values[-1][1:]]
        return sum(value * span for value, span in recent) / sum(span for _, span in recent)

    def _by_load(self, seen: Observation, stable: float, panic: float, scaling: Scaling) -> int:
        replicas = max(seen.replicas, 1)
        by_stable, by_panic = (_limited(replicas, mean / scaling.target) for mean in (stable, panic))
        if by_panic / replicas >= scaling.panic_threshold:
            self._panic_since = seen.time
        elif self._panic_since is not None and seen.time - self._panic_since > scaling.window:
            self._panic_since, self._panic_peak = None, 0
        if self._panic_since is None:
            return by_stable
        self._panic_peak = max(self._panic_peak, by_stable, by_panic)
        return self._panic_peak

    def _delayed(self, time: float, wanted: int, delay: float) -> int:
        self._proposals.append((time, wanted))
        while self._proposals[0][0] < time - delay:
            self._proposals.popleft()
        return max(count for _, count in self._proposals)

    def _bounded(self, seen: Observation, wanted: int, load: str, scaling: Scaling) -> Decision:
        if wanted < scaling.min_scale:
            return Decision(scaling.min_scale, f"min-scale is {scaling.min_scale}")
        if scaling.max_scale and wanted > scaling.max_scale:
            return Decision(scaling.max_scale, f"{load}; max-scale is {scaling.max_scale}")
        if wanted > 0:
            return Decision(wanted, load)
        idle = seen.time - self._last_active
        if idle < scaling.window + scaling.retention:
            return Decision(1, f"the last request ended {idle:.0f} s ago, window {scaling.window:g} s")
        return Decision(0, f"no request for {idle:.0f} s")


def _limited(replicas: int, wanted: float) -> int:
    """Whole replicas, within the rates at which Knative goes up and down. Rounded first: 0.1 x 3 is not above 0.3."""
    low, high = math.floor(replicas / _DOWN_RATE), math.ceil(replicas * _UP_RATE)
    return min(max(math.ceil(round(wanted, 6)), low), high)


def _load_text(mean: float, scaling: Scaling) -> str:
    unit = "requests a second" if scaling.metric == "rps" else "requests in flight"
    return f"{mean:.1f} {unit}, target {scaling.target:g} a replica"
