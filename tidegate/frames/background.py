"""One event loop per process, in a thread, for callers that are not asynchronous or have a loop of their own.

Engines call from several threads, and notebooks from a thread whose event loop runs. A process that was forked starts
a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_SECONDS = 5.0


class Background:
    """A running event loop, and the resources that calls share in it until the process ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tidegate-frames", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine; an interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def share(self, key: Hashable, open_: Callable[[AsyncExitStack], Awaitable[T]]) -> T:
        """Return the resource of a key, opened by the first caller; one that could not be opened is tried again."""
        task = self._shared.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._shared[key] = asyncio.ensure_future(self._opened(open_))
        return await asyncio.shield(task)

    async def _opened(self, open_: Callable[[AsyncExitStack], Awaitable[T]]) -> T:
        return await open_(self._stack)

    def stop(self) -> None:
        """Close the resources and end the thread."""
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(_STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()


_lock = threading.Lock()
_running: dict[int, Background] = {}


def background() -> Background:
    """Return the background of this process."""
    with _lock:
        found = _running.get(os.getpid())
        if found is None:
            _running.clear()  # that of the process that this one was forked from
            found = _running[os.getpid()] = Background()
        return found


def stop() -> None:
    """End the background of this process, if there is one; the next call starts another."""
    with _lock:
        found = _running.pop(os.getpid(), None)
    if found is not None:
        found.stop()


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)
