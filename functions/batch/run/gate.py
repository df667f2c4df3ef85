"""Waiting for a place: among the requests in flight, and in the memory of a run. Both serve in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from functions.batch.run.window import Window


class Room:
    """A limited amount, such as bytes of memory; one caller is admitted even if it needs more than all of it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, size: int) -> None:
        """Wait until the amount is free, after those who came before."""
        if self._waiting or not self._fits(size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((turn, size))
            try:
                await turn
            except asyncio.CancelledError:
                self._waiting.remove((turn, size))
                self.wake()
                raise
            self._waiting.popleft()
        self.used += size
        self.wake()

    def give(self, size: int) -> None:
        """Return an amount."""
        self.used -= size
        self.wake()

    def wake(self) -> None:
        """Let the first of those who wait go on if it fits by now."""
        if self._waiting and not self._waiting[0][0].done() and self._fits(self._waiting[0][1]):
            self._waiting[0][0].set_result(None)

    def _fits(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self.limit


class Gate:
    """Requests in flight, as many as the window allows; and chunks that are read but not written, twice as many.

    More of them would not be scored sooner, but would be scored again after a kill.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._room = Room(window.limit)
        self.chunks = Room(2 * window.limit)

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight now."""
        return self._room.limit

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold a place for one request."""
        await self._room.take(1)
        self._window.started(monotonic())
        try:
            yield
        finally:
            self._room.give(1)

    def answered(self, rows: int) -> None:
        """Note an answered request."""
        self._window.finished(rows, monotonic())
        self._resize()

    def refused(self, status: int) -> None:
        """Note a response that is retried: a model that has too much to do answers 429 or 503."""
        if status in (429, 503):
            self._window.overloaded(monotonic())
            self._resize()

    def _resize(self) -> None:
        self._room.limit, self.chunks.limit = self._window.limit, 2 * self._window.limit
        self._room.wake()
        self.chunks.wake()
