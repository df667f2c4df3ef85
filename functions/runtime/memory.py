"""Memory that is returned to the system: by default glibc's allocator keeps the memory of large bodies."""

from __future__ import annotations

import sys
from contextlib import suppress

# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 256 * 1024
_ARENAS = 2


def return_large_blocks(least_bytes: int = _LARGE_BYTES) -> None:
    """Map blocks of this size and more one by one, so that each is returned to the system when it is freed.

    Mapping a block costs a page fault for each 4 KiB of it, so that blocks that come and go all the time should be
    smaller. By default glibc raises this threshold once large blocks were freed, and keeps an arena for each thread. The call
    has no effect with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, least_bytes)
        mallopt(_M_TRIM_THRESHOLD, 2 * least_bytes)  # as glibc relates them
        mallopt(_M_ARENA_MAX, _ARENAS)
