"""The schemas that records were written with: fetched in the background, retried until there is an answer, and kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from common.delivery import backoff
from common.errors import InvalidEvent, TidegateError
from eventing.codecs.registry import Reader
from functions.stream.report import LogThrottle, logger

# A topic has a handful of schemas. More than these are fetched again when they come up.
_MOST = 1000
# A registry may be behind its replicas, so that an unknown schema is asked for again.
_UNKNOWN_SECONDS = 10.0


class RegistryUnavailable(TidegateError):
    """The registry has not answered, or not as one: the schema may be had later."""


@dataclass(frozen=True, slots=True)
class _Kept:
    found: Reader | InvalidEvent
    until: float


class Schemas:
    """Readers by the ids of their schemas. All methods run on the event loop's thread."""

    def __init__(self, fetch: Callable[[int], Awaitable[Reader]], most: int = _MOST) -> None:
        self._fetch = fetch
        self._most = most
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._log_throttle = LogThrottle()
        self.trouble = ""
        """Why the registry does not answer; empty while it does, or nothing is asked of it."""

    def get(self, schema: int) -> Reader | InvalidEvent | None:
        """Return the reader of a schema, or why there is none; None while it is fetched, which the first call begins."""
        kept = self._kept.get(schema)
        if kept is not None and asyncio.get_running_loop().time() < kept.until:
            self._kept.move_to_end(schema)
            return kept.found
        task = self._fetching.get(schema)
        if task is None:
            self._fetching[schema] = asyncio.create_task(self._keep(schema))
        elif task.done():
            task.result()  # raises an unexpected failure, which ends the worker: its records would wait without an end
        return None

    async def close(self) -> None:
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, schema: int) -> None:
        attempt = 0
        while True:
            try:
                found: Reader | InvalidEvent = await self._fetch(schema)
            except InvalidEvent as error:
                found = error
            except RegistryUnavailable as error:
                attempt += 1
                self.trouble = str(error)
                if self._log_throttle("registry"):
                    logger.warning("%s; its records wait, and it is asked again", str(error).rstrip("."))
                await asyncio.sleep(backoff(attempt))
                continue
            break
        self.trouble = ""
        del self._fetching[schema]
        seconds = _UNKNOWN_SECONDS if isinstance(found, InvalidEvent) else float("inf")
        self._kept[schema] = _Kept(found, asyncio.get_running_loop().time() + seconds)
        self._kept.move_to_end(schema)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
