"""A bounded queue with a worker thread: putting an item never blocks; items that do not fit are dropped and counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger("tidegate.observing")

T = TypeVar("T")

# The thread's share of a core, which the event loop does without. Items for which this is too little are dropped and
# counted.
_SHARE = 0.25


class Background(Generic[T]):
    """Passes items in order, at most `together` at a time, to `work`, which returns the number of items that were lost.

    `limit` is in the unit of the sizes passed to `put`. After the first item the thread waits `linger_seconds` for
    others: waking up for each item would interrupt the event loop as often. `stopping` is set on close; `at_end` is
    called at the end of the thread.
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
        # Each counter has one writer, the putting or the working thread, so that no lock is needed.
        self._put = 0
        self._refused = 0
        self._done = 0
        self._lost = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def dropped(self) -> int:
        """The number of items that did not fit or were lost."""
        return self._refused + self._lost

    def put(self, item: T, size: int = 1) -> None:
        """Queue an item, or drop it. Only for the event loop's thread."""
        if self._put - self._done + size > self._limit:
            self._refused += 1
            return
        self._put += size
        self._queue.put((item, size))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop accepting items; the queued ones are still processed."""
        self.stopping.set()
        self._queue.put(None)

    def join(self, seconds: float) -> None:
        """Wait up to `seconds` for the end of the thread, which otherwise ends with the process."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            log.warning("%s: some queued items were not delivered before the shutdown; check that the receiver is up.", self.name)

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
        """Take the queued items; returns them and whether the queue stays open."""
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
        except Exception as error:  # noqa: BLE001 the next items may succeed
            if not self._failing:
                log.warning("%s: failing with %r; items are dropped and counted until it works again.", self.name, error)
            self._failing = True
            return len(items)
        self._failing = False
        return lost
