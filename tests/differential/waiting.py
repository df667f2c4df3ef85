"""Waiting for a state that sends no event."""

from __future__ import annotations

import time
from collections.abc import Callable

# Longest is the way of a service to zero.
_TIMEOUT_SECONDS = 120.0


def until(check: Callable[[], str | None]) -> None:
    """Poll until nothing differs, since an ingress and the end of a pod send no event."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    while found := check():
        assert time.monotonic() < end, found
        time.sleep(0.1)
