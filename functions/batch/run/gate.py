"""The requests in flight, and the chunks in memory: their limits follow the throughput of the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from common.adaptive_limit import AdaptiveLimit
from common.room import Room


class Gate:
    """Requests in flight, as many as the limit allows; and chunks that are read but not written, twice as many.

    More of them would not be scored sooner, but would be scored again after a kill.
    """

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._adaptive = limit
        self._room = Room(limit.limit)
        self.chunks = Room(2 * limit.limit)

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight now."""
        return self._room.limit

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold a place for one request."""
        await self._room.take(1)
        self._adaptive.started(monotonic())
        try:
            yield
        finally:
            self._room.give(1)

    def answered(self, rows: int) -> None:
        """Note an answered request."""
        self._adaptive.finished(rows, monotonic())
        self._resize()

    def refused(self, status: int) -> None:
        """Note a response that is retried: a model that has too much to do answers 429 or 503."""
        if status in (429, 503):
            self._adaptive.overloaded(monotonic())
            self._resize()

    def _resize(self) -> None:
        self._room.limit, self.chunks.limit = self._adaptive.limit, 2 * self._adaptive.limit
        self._room.wake()
        self.chunks.wake()
