"""The memory of the tested processes, to find one that grows with the requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from common.errors import TidegateError


class ProcessEnded(TidegateError):
    """A tested process has ended."""


def resident(pids: Sequence[int]) -> dict[int, float]:
    """Return the resident memory in MiB by process. Raises ProcessEnded."""
    return {pid: _resident(pid) for pid in pids}


def _resident(pid: int) -> float:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    if found is None:
        raise ProcessEnded(f"the process {pid} has ended", remedy="see its output")
    return int(found[1]) / 1024
