"""Callers that disconnect while a revision works for them: the work ends, so that others get its place.

A caller is watched only when its request is still in flight at one of the looks around, which are rare: a task for each
request would cost more than it saves, since nearly all are answered before.
"""

from __future__ import annotations

import asyncio

from functions.router.call import Call
from functions.runtime.errors import ClientGone

_SECONDS = 0.25


class Disconnects:
    """Watches the callers of the requests that were added, each until its request is discarded."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._watches: dict[Call, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Watch the caller from one of the next looks on."""
        self._calls.add(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._look)

    def discard(self, call: Call) -> None:
        """Watch the caller no longer: its request has a reply, which may be sent now."""
        self._calls.discard(call)
        if self._watches:
            watch = self._watches.pop(call, None)
            if watch is not None:
                watch.cancel()

    def _look(self) -> None:
        for call in self._calls:
            # Before, the body's own reader notices the disconnect; two readers would take each other's messages.
            if call.is_received and call not in self._watches:
                self._watches[call] = asyncio.create_task(_watch(call))
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._look) if self._calls else None


async def _watch(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
    call.end(ClientGone())
