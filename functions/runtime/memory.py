"""Memory given back to the system: glibc's allocator keeps what large bodies took, unless it is told not to."""

from __future__ import annotations

import sys
from contextlib import suppress

# mallopt(3)
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 256 * 1024
_ARENAS = 2


def give_back_large_blocks() -> None:
    """Have blocks of 256 KiB and more mapped one by one, so that each is given back when it is freed.

    By default glibc maps larger and larger blocks only, once some were freed, and keeps an arena for each thread. It
    has no effect with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
