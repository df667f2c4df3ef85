"""The guard of the worker: looks at it from beside, with the ends of its partitions as the broker tells them over another connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from common.errors import TidegateError
from eventing.kafka.lag import EndReader
from eventing.kafka.port import Cluster
from functions.stream.report import Seldom, logger
from functions.stream.watch import Sight, Stalled, Watch

LOOK_SECONDS = 10.0
# Longer than the client's own time-outs: it hangs, or the machine does.
_READ_SECONDS = 30.0

Ends = Mapping[int, int] | None
"""The next offset to be produced, by partition; None where the broker did not tell."""


class Guard:
    """Ends a worker that stands still. It has no part in the worker's own rounds, so that it notices when they hang."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        watch: Watch,
        *,
        assigned: Callable[[], Collection[int]],
        sight: Callable[[Ends], Sight],
        stalled: Callable[[Stalled], None],
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._watch = watch
        self._assigned = assigned
        self._sight = sight
        self._stalled = stalled
        self._ends = EndReader(cluster)
        self._may_tell = Seldom(600.0)

    async def run(self) -> None:
        """Look every ten seconds, until cancelled or something has stood for too long."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                problem = self._watch.look(self._sight(await self._read()))
                if problem is not None:
                    self._stalled(Stalled(problem))
                    return
        finally:
            await asyncio.wait_for(asyncio.to_thread(self._ends.close), _READ_SECONDS)

    async def _read(self) -> Ends:
        # A worker that has no partition learns at least that the broker answers.
        reading = asyncio.to_thread(self._ends.read, self._topic, sorted(self._assigned()) or [0])
        try:
            return await asyncio.wait_for(reading, _READ_SECONDS)
        except (TidegateError, TimeoutError) as error:
            if self._may_tell(""):
                logger.warning("the broker does not tell the ends of %s (%s)", self._topic, str(error).rstrip(".") or type(error).__name__)
            if isinstance(error, TimeoutError):
                self._ends = EndReader(self._cluster)
            return None
