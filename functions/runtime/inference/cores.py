"""The number of cores that this process may use, by its CPU affinity and the limit of its control group."""

from __future__ import annotations

import os
from pathlib import Path

# https://docs.kernel.org/admin-guide/cgroup-v2.html, "CPU Interface Files": microseconds in each period, or "max". A
# container sees its own.
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores(cpu_max: Path = _CPU_MAX) -> int:
    """Return the number of usable cores, at least one; a fraction is rounded up."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        granted, period = map(int, cpu_max.read_text("ascii").split())
    except (OSError, ValueError):  # no such control group, or no limit
        return usable
    return max(1, min(usable, -(-granted // period)))
