"""The age of this process: a cold start begins before the first line of Python runs."""

from __future__ import annotations

import os
import time
from pathlib import Path


def age_seconds() -> float | None:
    """Return the seconds since the system started the process, to 10 ms; None without /proc (proc(5), `starttime`)."""
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return None
