"""The memory of a run: what the process has taken already, and what is left for rows."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from functions.runtime.memory import return_large_blocks

# For what is not counted by row: decoded pages of the reader, the block that is compressed, the buffers of connections.
_RESERVE = 48 * 2**20
# A run goes on with this much, however much the process has taken.
_LEAST = 16 * 2**20


def use_little_memory() -> None:
    """Return memory to the system as soon as it is free. It is for a process that does nothing else than a batch."""
    return_large_blocks()


def data_bytes(total: int) -> int:
    """Return the bytes that rows may take, so that the process stays below `total`."""
    return max(_LEAST, total - resident_bytes() - _RESERVE)


def resident_bytes() -> int:
    """Return the memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()
