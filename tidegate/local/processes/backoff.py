"""Exponential back-off between the restarts of a process that exited by itself."""

from __future__ import annotations

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0
# A process that ran this long was healthy: the next failure starts a new series.
HEALTHY_AFTER_SECONDS = 10.0


class Backoff:
    """Pauses that double from failure to failure, in seconds."""

    def __init__(self) -> None:
        self.failures = 0

    def record_failure(self, ran_seconds: float, *, was_ready: bool) -> float:
        """Count a failure of a process that ran for this long, and return the pause before the next start."""
        if was_ready and ran_seconds >= HEALTHY_AFTER_SECONDS:
            self.failures = 0
        self.failures += 1
        return min(FIRST_SECONDS * 2.0 ** (self.failures - 1), LONGEST_SECONDS)
