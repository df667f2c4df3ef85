"""A limit on the pods of Jobs that run at once: on a cluster, pods wait until a node has room for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

# A pod may use a whole core; some wait for others, as the shards of a batch do.
DEFAULT = max(8, 2 * (os.cpu_count() or 1))


class PodSlots:
    """A number of slots. Those that found none free are called again, in their order, when one becomes free."""

    def __init__(self, count: int = DEFAULT) -> None:
        self._free = count
        self._waiting: dict[Callable[[], None], None] = {}

    def take(self, retry: Callable[[], None]) -> bool:
        """Take a slot, or else have `retry` called when there may be one."""
        if self._free:
            self._free -= 1
            return True
        self._waiting[retry] = None
        return False

    def give_back(self) -> None:
        """Return a slot."""
        self._free += 1
        waiting, self._waiting = self._waiting, {}
        for retry in waiting:
            asyncio.get_running_loop().call_soon(retry)

    def forget(self, retry: Callable[[], None]) -> None:
        """Do not call `retry` any more."""
        self._waiting.pop(retry, None)
