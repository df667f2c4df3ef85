"""What becomes of an event that could not be handled: one table, read by whoever delivers."""

from __future__ import annotations

from enum import Enum

# Knative's own delivery retries these and 404; a model that is unknown answers an event with 422, so that nobody retries it.
RETRYABLE = frozenset({408, 425, 429})


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
