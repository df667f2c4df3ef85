"""A kernel timer in nanoseconds; an event loop's timer rounds to milliseconds, which is many requests."""

from __future__ import annotations

import ctypes
import os
import struct

_CLOCK_MONOTONIC, _NONBLOCK, _ABSOLUTE = 1, os.O_NONBLOCK, 1
_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """A timer whose file descriptor becomes readable at a time of time.perf_counter(), in seconds. Linux only."""

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at: float) -> None:
        seconds, rest = divmod(at, 1.0)
        # Setting it also clears an unread expiry. Zero would disarm it.
        _libc.timerfd_settime(self.fd, _ABSOLUTE, struct.pack("@4l", 0, 0, int(seconds), max(int(rest * 1e9), 1)), None)

    def close(self) -> None:
        os.close(self.fd)
