"""The counters of the router: plain numbers, which only the event loop changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from functions.runtime.observability.histogram import LATENCIES, Histogram


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of another component, read for each scrape."""

    name: str
    description: str
    read: Callable[[], float]


class Metrics:
    """Counters by their labels, in the order of `exposition`.

    Only known models, and revisions of their Knative Services, become labels.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.latencies: dict[tuple[str, str], Histogram] = {}
        self.retries: Counter[tuple[str]] = Counter()
        self.failovers: Counter[tuple[str]] = Counter()
        self.outcomes: Counter[tuple[str]] = Counter()
        self.shadows: Counter[tuple[str, str]] = Counter()
        self.gauges: list[Gauge] = []

    def answered(self, model: str, status: int) -> None:
        """Count the reply to a caller; `model` is empty for an unknown one."""
        self.requests[model, _class(status)] += 1

    def called(self, model: str, revision: str, status: int, seconds: float) -> None:
        """Count a call of a revision; `status` is 0 without a reply.

        `seconds` is the time to the headers of the reply, and to its body if that is small.
        """
        self.calls[model, revision, _class(status)] += 1
        latencies = self.latencies.get((model, revision))
        if latencies is None:
            latencies = self.latencies[model, revision] = Histogram(LATENCIES)
        latencies.add(seconds)

    def retried(self, model: str) -> None:
        """Count a retry."""
        self.retries[(model,)] += 1

    def failed_over(self, model: str) -> None:
        """Count a call that the stable revision answers in place of the canary."""
        self.failovers[(model,)] += 1

    def sent_outcome(self, result: str) -> None:
        """Count an outcome event: `sent`, `rejected` by the sink, or `dropped` since too many waited."""
        self.outcomes[(result,)] += 1

    def shadowed(self, model: str, result: str) -> None:
        """Count a copy of a request: `answered` by the shadow, `failed`, or `dropped` to spare the callers."""
        self.shadows[model, result] += 1

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Add a gauge, whose value is read for each scrape."""
        self.gauges.append(Gauge(name, description, read))


def _class(status: int) -> str:
    return f"{status // 100}xx" if status else "none"
