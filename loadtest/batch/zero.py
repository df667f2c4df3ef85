"""What a start from zero adds to a batch: model and router at zero, beside both warm, in turn."""

from __future__ import annotations

import time
from pathlib import Path

from loadtest.batch import rates
from loadtest.batch.data import NAME
from loadtest.batch.local import ROUTER, Local, LocalFailed

_TICK_SECONDS = 0.1
_SCALED_SECONDS = 60.0


def measure(local: Local, source: Path, work: Path, rows: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of batches from zero and of warm ones. Raises LocalFailed and BatchFailed.

    A round is a batch from zero and one right after it, by when everything has started.
    """
    zero, warm = [], []
    for _ in range(rounds):
        _wait_for_zero(local)
        zero.append(rates.batch(source, work, local.url, rows).seconds)
        warm.append(rates.batch(source, work, local.url, rows).seconds)
    return zero, warm


def _wait_for_zero(local: Local) -> None:
    deadline = time.monotonic() + _SCALED_SECONDS
    while local.service(NAME) or local.service(ROUTER):
        if time.monotonic() > deadline:
            raise LocalFailed(f"the services are not at zero after {_SCALED_SECONDS:g} s.")
        time.sleep(_TICK_SECONDS)
