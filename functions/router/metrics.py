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

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Add a gauge, whose value is read for each scrape."""
        self.gauges.append(Gauge(name, description, read))


_CLASSES = ("none", *(f"{first}xx" for first in range(1, 6)))


def _class(status: int) -> str:
    return _CLASSES[status // 100]
