"""Ctrl-C while letters are replayed: the first one ends the run in order, the second one at once."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stopped_by_interrupt() -> Iterator[threading.Event]:
    """Return an event that Ctrl-C sets, in the main thread; elsewhere nothing sets it."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("tidegate: finishing what is in flight; Ctrl-C again stops at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
