"""Delivery outcomes: what a sender does after a failed call, and how long it waits before a retry.

One table and one back-off serve every part that delivers events.
"""

from __future__ import annotations

import random
from enum import Enum

# The statuses below 500 that are retried. A 404 is an ingress that does not know a host for a while; an unknown model
# answers an event with 422.
RETRYABLE = frozenset({404, 408, 425, 429})
# Those that Knative's own delivery retries (its data plane specification, "Event Acknowledgement and Delivery Retry").
KNATIVE_RETRYABLE = frozenset({404, 408, 409, 429})


class Outcome(Enum):
    """The next step of a sender."""

    DONE = "done"
    RETRY = "retry"
    DEAD_LETTER = "dead letter"


def outcome_of(status: int, retryable: frozenset[int] = RETRYABLE) -> Outcome:
    """Return the outcome of an HTTP status, or of the status of a problem (RFC 9457)."""
    if 200 <= status < 300:
        return Outcome.DONE
    if status in retryable or status >= 500:
        return Outcome.RETRY
    return Outcome.DEAD_LETTER


def backoff(attempt: int, *, first: float = 0.2, longest: float = 15.0) -> float:
    """Return the seconds to wait after failed attempt number `attempt` (from 1).

    The bound is `first` seconds, doubled with each attempt up to `longest`; the wait is random below it (full jitter).
    """
    return random.uniform(0.0, min(longest, first * 2.0 ** min(attempt - 1, 30)))  # noqa: S311 not for secrets


def retry_after_seconds(value: str | None) -> float:
    """Return the seconds that a `Retry-After` header asks for; 0 without one, and for a date.

    A date would require synchronised clocks; the back-off serves as well.
    """
    return float(value) if value and value.isdecimal() else 0.0
