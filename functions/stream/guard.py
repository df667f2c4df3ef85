"""The guard of the worker: checks for stalls from outside its rounds, over a second connection to Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from common.errors import TidegateError
from eventing.kafka.lag import EndReader
from eventing.kafka.port import Cluster
from functions.stream.report import LogThrottle, logger
from functions.stream.stall import StallDetector, Stalled, WorkerState

CHECK_SECONDS = 10.0
# Longer than the client's own time-outs: after it, the client hangs, or the machine does.
_READ_SECONDS = 30.0

Ends = Mapping[int, int] | None
"""The next offset to be produced, by partition; None where the broker did not report it."""


class Guard:
    """Fails a stalled worker. It takes no part in the worker's rounds, so that it notices when they hang."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        detector: StallDetector,
        *,
        assigned: Callable[[], Collection[int]],
        inspect: Callable[[Ends], WorkerState],
        stalled: Callable[[Stalled], None],
        read_committed: bool = False,
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._detector = detector
        self._assigned = assigned
        self._inspect = inspect
        self._stalled = stalled
        self._read_committed = read_committed
        self._ends = EndReader(cluster, read_committed=read_committed)
        self._log_throttle = LogThrottle(600.0)

    async def run(self) -> None:
        """Check the worker every ten seconds, until cancelled or a stall is found."""
        try:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                problem = self._detector.check(self._inspect(await self._read()))
                if problem is not None:
                    self._stalled(Stalled(problem))
                    return
        finally:
            await asyncio.wait_for(asyncio.to_thread(self._ends.close), _READ_SECONDS)

    async def _read(self) -> Ends:
        # Without a partition, the read still shows whether the broker answers.
        reading = asyncio.to_thread(self._ends.read, self._topic, sorted(self._assigned()) or [0])
        try:
            return await asyncio.wait_for(reading, _READ_SECONDS)
        except (TidegateError, TimeoutError) as error:
            if self._log_throttle(""):
                reason = str(error).rstrip(".") or type(error).__name__
                logger.warning("the broker does not report the end offsets of %s (%s)", self._topic, reason)
            if isinstance(error, TimeoutError):
                self._ends = EndReader(self._cluster, read_committed=self._read_committed)
            return None
