"""One request to a revision: to a replica, or to another one if that is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from tidegate.local.controller.revision import Revision
from tidegate.local.processes.replica import Replica

Result = TypeVar("Result")


async def call(revision: Revision, send: Callable[[Replica], Awaitable[Result]]) -> Result:
    """Send a request to a replica, or to another one if it refuses the connection, before any data is sent.

    Raises QueueFull or NoReplica. The caller limits the time.
    """
    while True:
        replica = await revision.acquire()
        try:
            return await send(replica)
        except aiohttp.ClientConnectorError:
            revision.pool.mark_lost(replica)
        except aiohttp.ClientConnectionError:
            replica.closes = True
            raise
        finally:
            if replica.closes:
                revision.pool.check(replica)
            revision.release(replica)


def closes(answer: aiohttp.ClientResponse) -> bool:
    """Whether a replica closes the connection of an answer."""
    return answer.headers.get("Connection", "").strip().lower() == "close"
