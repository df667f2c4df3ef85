"""A limit of requests in flight: it grows while throughput grows, and is halved when the model is overloaded.

It is pure: the caller passes the time. The model is scaled by its requests in flight, so that a greater number is also
what makes Knative start more replicas.
"""

from __future__ import annotations

from dataclasses import dataclass

# An epoch ends after this many finished requests for each one in flight, so that all of them belong to its limit.
_ROUNDS = 4
# Throughput has grown if it is this much above that of the limit before.
_GROWTH = 1.08
# Epochs at a limit before a higher one is tried again: the model may have been scaled out meanwhile.
_HOLD_EPOCHS = 4


@dataclass(slots=True)
class AdaptiveLimit:
    """The limit of requests in flight, from 1 to `most`."""

    most: int
    limit: int = 2
    _since: float | None = None
    _finished: int = 0
    _rows: int = 0
    # The throughput of the lower limit, while a higher one is tried; and that limit.
    _before: float = 0.0
    # The best throughput of the current limit, while it is held.
    _best: float = 0.0
    _lower: int = 0
    _hold: int = 0
    # Requests that were in flight at the last cut: their failures do not count again.
    _spared: int = 0

    def __post_init__(self) -> None:
        self.limit = max(1, min(self.limit, self.most))

    def started(self, now: float) -> None:
        """Note that a request was sent."""
        if self._since is None:
            self._since = now

    def finished(self, rows: int, now: float) -> None:
        """Note that a request was answered."""
        self._spared = max(0, self._spared - 1)
        self._finished += 1
        self._rows += rows
        if self._finished >= _ROUNDS * self.limit and self._since is not None and now > self._since:
            self._end_epoch(self._rows / (now - self._since))
            self._since, self._finished, self._rows = now, 0, 0

    def overloaded(self, now: float) -> None:
        """Note that a request was refused for the time being: 429 or 503."""
        if self._spared:
            self._spared -= 1
            return
        self._spared = self.limit - 1
        self.limit = max(1, self.limit // 2)
        self._lower, self._hold, self._best = 0, _HOLD_EPOCHS, 0.0
        self._since, self._finished, self._rows = now, 0, 0

    def _end_epoch(self, throughput: float) -> None:
        if self._hold:
            self._hold -= 1
            self._best = max(self._best, throughput)
        elif self._lower and throughput < _GROWTH * self._before:
            self.limit, self._lower, self._hold = self._lower, 0, _HOLD_EPOCHS
        else:
            # The best of the epochs at this limit: answers come in waves, so that one epoch may have too few of them.
            self._before, self._lower, self._best = max(self._best, throughput), self.limit, 0.0
            self.limit = min(self.most, self.limit + max(1, self.limit // 2))
            if self.limit == self._lower:
                self._lower, self._hold = 0, _HOLD_EPOCHS
