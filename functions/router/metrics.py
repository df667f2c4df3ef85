"""What the router counts: plain numbers, by the event loop alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from functions.runtime.observability.histogram import LATENCIES, Histogram


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that another part keeps, read when it is asked for."""

    name: str
    description: str
    read: Callable[[], float]


class Metrics:
    """Keys are labels in the order of `exposition`.

    A model is named only if it is known, a revision only as the Knative Service has it.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.latencies: dict[tuple[str, str], Histogram] = {}
        self.retries: Counter[tuple[str]] = Counter()
        self.gauges: list[Gauge] = []

    def answered(self, model: str, status: int) -> None:
        """A caller has its answer; `model` is empty where the request was about none that is known."""
        self.requests[model, _class(status)] += 1

    def called(self, model: str, revision: str, status: int, seconds: float) -> None:
        """A revision has answered, or has not: then `status` is 0.

        `seconds` until the head of its answer, and its body if that is small.
        """
        self.calls[model, revision, _class(status)] += 1
        latencies = self.latencies.get((model, revision))
        if latencies is None:
            latencies = self.latencies[model, revision] = Histogram(LATENCIES)
        latencies.add(seconds)

    def retried(self, model: str) -> None:
        self.retries[(model,)] += 1

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        self.gauges.append(Gauge(name, description, read))


def _class(status: int) -> str:
    return f"{status // 100}xx" if status else "none"
