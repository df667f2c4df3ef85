"""Delivery policy of a Trigger or a source: attempts, waits, time limit, and the meaning of a status, without I/O.

The defaults are those of Knative's broker for Kafka (eventing-kafka-broker, `EgressConfigFromDelivery` in the control
plane and `WebClientCloudEventSender` in the data plane).
"""

from __future__ import annotations

from dataclasses import dataclass

from common.delivery import KNATIVE_RETRYABLE, Outcome, outcome_of
from tidegate.local.objects import durations
from tidegate.local.objects.eventing import DeliverySpec

_DELAY_SECONDS = 0.2
_TIMEOUT_SECONDS = 600.0
# Larger exponents are no different for a person who waits, and overflow.
_LARGEST_EXPONENT = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How often an event is sent, and when."""

    retries: int = 0
    """Attempts after the first one; Knative sends once unless `retry` is given."""
    delay_seconds: float = _DELAY_SECONDS
    linear: bool = False
    timeout_seconds: float = _TIMEOUT_SECONDS
    """The time limit of each attempt."""
    structured: bool = False
    """Whether events are sent in structured mode (`format: json`) rather than in binary mode."""

    @classmethod
    def of(cls, spec: DeliverySpec | None) -> DeliveryPolicy:
        """Return the policy of a `delivery`, which is valid."""
        if spec is None:
            return cls()
        return cls(
            retries=spec.retry or 0,
            delay_seconds=durations.seconds(spec.backoff_delay) if spec.backoff_delay else _DELAY_SECONDS,
            linear=spec.backoff_policy == "linear",
            # A time-out of zero means the default, as on a cluster.
            timeout_seconds=(durations.seconds(spec.timeout) if spec.timeout else 0.0) or _TIMEOUT_SECONDS,
            structured=spec.format == "json",
        )

    def wait_seconds(self, retry: int) -> float:
        """Return the wait before a retry, counted from 1: the delay times the number, or times 2 to that power."""
        return self.delay_seconds * (retry if self.linear else 2.0 ** min(retry, _LARGEST_EXPONENT))


def outcome(status: int) -> Outcome:
    """Return what Knative does after an attempt with this status, apart from the body of a response."""
    return outcome_of(status, KNATIVE_RETRYABLE)
