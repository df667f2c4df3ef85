"""A bounded queue and the thread behind it: whoever puts something in never waits, and what does not fit is dropped and counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger("tidegate.observing")

T = TypeVar("T")

# Of a core: whatever the thread computes, the event loop cannot compute meanwhile. What this is too little for is dropped and counted.
_SHARE = 0.25


class Background(Generic[T]):
    """Hands items, in their order and at most `together` at a time, to `work`, which returns how many of them it had to give up.

    `limit` is in the unit of the sizes that `put` is told. After the first item the thread waits `linger_seconds` for others: waking up for
    each would take the interpreter away from the event loop as often. `stopping` is set when it is time to come to an end; `at_end` is the
    last thing that the thread does.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], int],
        *,
        limit: int,
        together: int = 256,
        linger_seconds: float = 0.05,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._work = work
        self._at_end = at_end
        self._limit = limit
        self._together = together
        self._linger = linger_seconds
        self._queue: SimpleQueue[tuple[T, int] | None] = SimpleQueue()
        # Each number has one writer, the putting thread or the working one, so that none needs a lock.
        self._put = 0
        self._refused = 0
        self._done = 0
        self._lost = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def dropped(self) -> int:
        """Items that did not fit, or that were given up."""
        return self._refused + self._lost

    def put(self, item: T, size: int = 1) -> None:
        """By one thread only, the event loop's."""
        if self._put - self._done + size > self._limit:
            self._refused += 1
            return
        self._put += size
        self._queue.put((item, size))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Nothing more comes; what is queued is still worked on."""
        self.stopping.set()
        self._queue.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the end, that long at the most; the thread dies with the process if it has not come."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            log.warning("%s: not all that was queued could be delivered before the end; see whether its receiver is up.", self.name)

    def _run(self) -> None:
        more = True
        while more:
            entries, more = self._next()
            if entries:
                began = time.thread_time()
                self._lost += self._try([item for item, _ in entries])
                self._done += sum(size for _, size in entries)
                self.stopping.wait((time.thread_time() - began) * (1 / _SHARE - 1))
        self._at_end()

    def _next(self) -> tuple[list[tuple[T, int]], bool]:
        """What has come, and whether more will."""
        entry = self._queue.get()
        if self._queue.qsize() < self._together:
            self.stopping.wait(self._linger)
        entries = []
        while entry is not None:
            entries.append(entry)
            if len(entries) == self._together or self._queue.empty():
                return entries, True
            entry = self._queue.get()
        return entries, False

    def _try(self, items: list[T]) -> int:
        try:
            lost = self._work(items)
        except Exception as error:  # noqa: BLE001 whatever went wrong, the next ones may do better
            if not self._failing:
                log.warning("%s: it fails with %r; until it works again, what it is given is dropped and counted.", self.name, error)
            self._failing = True
            return len(items)
        self._failing = False
        return lost
