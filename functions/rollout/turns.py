"""Turns: all outcomes of a model that wait are applied in one turn, and one turn of a model at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from eventing.outcome import Outcome

T = TypeVar("T")
Turn = Callable[[str, Sequence[Outcome]], Awaitable[None]]


class Turns:
    """Calls `turn` with a model and its outcomes. While a turn of a model runs, its outcomes wait for the next one."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._waiting: dict[str, list[tuple[Outcome | None, asyncio.Future[None]]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def take(self, model: str, outcome: Outcome | None = None) -> None:
        """Return when the turn with this outcome is over. Raises what the turn raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, []).append((outcome, done))
        if model not in self._tasks:
            self._tasks[model] = asyncio.create_task(self._run(model))
        await done

    async def _run(self, model: str) -> None:
        try:
            while waiting := self._waiting.pop(model, None):
                outcomes = [outcome for outcome, _ in waiting if outcome is not None]
                (result,) = await asyncio.gather(self._turn(model, outcomes), return_exceptions=True)
                for _, done in waiting:
                    if done.done():  # its sender has left
                        continue
                    if isinstance(result, BaseException):
                        done.set_exception(result)
                    else:
                        done.set_result(None)
        finally:
            del self._tasks[model]
