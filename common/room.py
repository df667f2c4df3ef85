"""Waiting for room: a limited amount, such as requests in flight or bytes of memory, given in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque


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
