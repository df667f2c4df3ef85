"""What the process counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from functions.rollout.state import Phase, State

OutcomeResult = Literal["applied", "ignored", "no-rollout", "failed"]
WriteResult = Literal["written", "conflict", "failed"]
DeliveryResult = Literal["delivered", "rejected", "failed"]

# The numbers of Flagger's `flagger_canary_status`.
_STATUS = {Phase.RUNNING: 0, Phase.INCONCLUSIVE: 0, Phase.PROMOTED: 1, Phase.ROLLED_BACK: 2}


class Metrics:
    """Counters and gauges of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, help_: str, label: str) -> Counter:
            return Counter(name, help_, [label], registry=self._registry)

        self._outcomes = counter("tidegate_rollout_outcomes", "Outcomes that routers sent, by what became of them.", "result")
        self._labels = counter("tidegate_rollout_labels", "Labels of predictions, by what became of them.", "result")
        self._writes = counter("tidegate_rollout_writes", "Writes of Knative Services.", "result")
        self._deliveries = counter("tidegate_rollout_deliveries", "Attempts to deliver a decision to the sink.", "result")
        self._weight = Gauge("tidegate_rollout_canary_weight", "The canary's percentage.", ["model"], registry=self._registry)
        self._status = Gauge(
            "tidegate_rollout_canary_status", "0: the rollout is running; 1: promoted; 2: rolled back.", ["model"], registry=self._registry
        )

    def waiting(self, count: Callable[[], float]) -> None:
        """Show how many outcomes and labels wait to be written."""
        Gauge("tidegate_rollout_waiting_outcomes", "Outcomes and labels that wait for a write.", registry=self._registry).set_function(
            count
        )

    def outcomes(self, result: OutcomeResult, count: int) -> None:
        self._outcomes.labels(result).inc(count)

    def labels(self, result: OutcomeResult, count: int) -> None:
        self._labels.labels(result).inc(count)

    def write(self, result: WriteResult) -> None:
        self._writes.labels(result).inc()

    def delivery(self, result: DeliveryResult) -> None:
        self._deliveries.labels(result).inc()

    def state(self, state: State) -> None:
        """Show a rollout. Its model is one of the cluster's, never a name that a sender has invented."""
        self._weight.labels(state.model).set(state.percent)
        self._status.labels(state.model).set(_STATUS[state.phase])

    def exposition(self) -> bytes:
        return generate_latest(self._registry)
