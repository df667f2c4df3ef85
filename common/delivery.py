"""What becomes of an event that could not be handled, and when it is tried again: one table, one policy, read by whoever delivers."""

from __future__ import annotations

import random
from enum import Enum

# Those of Knative's own delivery. A 404 is an ingress that does not know a host for a while; an unknown model answers an event with 422.
RETRYABLE = frozenset({404, 408, 425, 429})


class Outcome(Enum):
    DONE = "done"
    RETRY = "retry"
    DEAD_LETTER = "dead letter"


def outcome_of(status: int) -> Outcome:
    """What a sender does after an HTTP status, or after the status of a problem (RFC 9457)."""
    if 200 <= status < 300:
        return Outcome.DONE
    if status in RETRYABLE or status >= 500:
        return Outcome.RETRY
    return Outcome.DEAD_LETTER


def backoff(attempt: int, *, first: float = 0.2, longest: float = 15.0) -> float:
    """Seconds to wait after failed call number `attempt` (from 1): up to `first`, doubled with each, with full jitter."""
    return random.uniform(0.0, min(longest, first * 2.0 ** min(attempt - 1, 30)))  # noqa: S311 not for secrets


def retry_after_seconds(value: str | None) -> float:
    """What a header `Retry-After` asks for; 0 if it asks for nothing, or gives a date.

    A date would need the two clocks to agree; the back-off serves as well.
    """
    return float(value) if value and value.isdecimal() else 0.0
