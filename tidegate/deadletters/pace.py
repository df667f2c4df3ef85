"""The rate of a replay, and how it is stopped: by an event that Ctrl-C sets."""

from __future__ import annotations

import threading
import time

# Letters are claimed in chunks; more in one gain nothing.
CHUNK = 500
# A chunk of a slow replay takes about a second, so that none is claimed long before it is sent.
_CHUNK_SECONDS = 1.0


class Pace:
    """Lets events pass at most at a rate, without bursts; None is no limit."""

    def __init__(self, rate: float | None, stop: threading.Event) -> None:
        self._rate = rate
        self._stop = stop
        self._next = time.monotonic()

    @property
    def chunk(self) -> int:
        """How many letters to claim at once."""
        return CHUNK if self._rate is None else max(1, min(CHUNK, int(self._rate * _CHUNK_SECONDS)))

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def wait(self) -> bool:
        """Wait for the turn of the next event; False if stopped meanwhile."""
        if self._rate is not None and not self.stopped:
            now = time.monotonic()
            self._stop.wait(max(0.0, self._next - now))
            self._next = max(self._next, now) + 1.0 / self._rate
        return not self.stopped

    def passes(self, index: int) -> bool:
        """Wait for the turn of an event in a chunk; the run has waited for the first one before it claimed the chunk."""
        return self.wait() if index else not self.stopped

    def pause(self, seconds: float) -> bool:
        """Wait; False if stopped meanwhile."""
        return not self._stop.wait(seconds)
