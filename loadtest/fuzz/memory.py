"""The memory of the processes that are asked, so that one that grows with what is sent is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from common.errors import TidegateError


class Gone(TidegateError):
    """A process that was watched has ended."""


def resident(pids: Sequence[int]) -> dict[int, float]:
    """MiB of resident memory by process. Raises Gone."""
    return {pid: _resident(pid) for pid in pids}


def _resident(pid: int) -> float:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    if found is None:
        raise Gone(f"the process {pid} has ended; its own output says why.")
    return int(found[1]) / 1024
