"""How long to wait before a process that ended by itself is started again."""

from __future__ import annotations

FIRST = 0.5
LONGEST = 10.0
# A process that lived this long was healthy: the next failure is a new one.
HEALTHY_AFTER = 10.0


class Backoff:
    """Seconds double from failure to failure."""

    def __init__(self) -> None:
        self.failures = 0

    def failed(self, lived: float, *, was_ready: bool) -> float:
        """The pause after a process that lived for so many seconds."""
        if was_ready and lived >= HEALTHY_AFTER:
            self.failures = 0
        self.failures += 1
        return min(FIRST * 2.0 ** (self.failures - 1), LONGEST)
