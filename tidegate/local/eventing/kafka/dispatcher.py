"""Dispatches the records of a reader, in order or not, and commits how far every record is finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from eventing.event import Event
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import TopicPartition
from tidegate.local.eventing.kafka.progress import Progress
from tidegate.local.eventing.kafka.reader import Incoming, Reader

log = logging.getLogger("tidegate.eventing")

# The most events in flight of an unordered Trigger: in Knative, one less than twice `max.poll.records`, which is 50.
MAX_IN_FLIGHT = 99
# In Knative 5 s. After a crash, fewer events are delivered twice.
_COMMIT_SECONDS = 1.0


class Interrupted(Exception):
    """A wait before a retry is over early: the target has changed, or the dispatcher is closed."""


class Stopping(Exception):
    """The dispatcher is closed: an event that waits for a retry stays unfinished, for the next start."""


class Target(Protocol):
    """Where events go. It may change while events are in flight."""

    def accepts(self, event: Event) -> bool:
        """Whether the event passes the filter; otherwise it is finished."""
        ...

    async def deliver(self, event: Event, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Deliver an event for good; wait by `sleep` only."""
        ...


class Dispatcher:
    """Delivers events, at most one at a time of each partition if `ordered`.

    An event counts as finished when its delivery has returned: so each is delivered at least once.
    """

    def __init__(self, reader: Reader, *, ordered: bool) -> None:
        self._reader = reader
        self._ordered = ordered
        self._target: Target | None = None
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._busy: set[TopicPartition] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._interrupt = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    def start(self) -> None:
        """Deliver from the positions of the reader on, which has been started."""
        self._committing = asyncio.create_task(self._commit_repeatedly())
        self.dispatch()

    def set_target(self, target: Target | None) -> None:
        """Deliver to another target from now on, also what waits for a retry; without one, wait."""
        self._target = target
        self._interrupt_waits()
        self.dispatch()

    def dispatch(self) -> None:
        """Start as many deliveries as there are records and room for, in turn of each partition."""
        if self._target is None or self._stopping:
            return
        self._take_up_partitions()
        waiting = list(self._progress)
        while waiting:
            waiting = [source for source in waiting if self._has_room(source) and self._dispatch_next(source, self._target)]

    async def close(self) -> None:
        """Wait for the attempts in flight, and commit."""
        self._stopping = True
        self._interrupt_waits()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._committing is not None:
            self._committing.cancel()
            await self._commit()

    def kill(self) -> None:
        """Give up the attempts in flight; their events stay unfinished."""
        self._stopping = True
        self._interrupt_waits()
        for task in self._tasks:
            task.cancel()

    def _take_up_partitions(self) -> None:
        """Follow the progress of partitions that the reader has added, at the start all of them."""
        if len(self._progress) < len(self._reader.positions):
            added = {source: offset for source, offset in self._reader.positions.items() if source not in self._progress}
            self._committed |= added
            self._progress |= {source: Progress(offset) for source, offset in added.items()}

    def _has_room(self, source: TopicPartition) -> bool:
        return source not in self._busy if self._ordered else len(self._tasks) < MAX_IN_FLIGHT

    def _dispatch_next(self, source: TopicPartition, target: Target) -> bool:
        """Read the next record of a partition, and deliver it unless the filter drops it. False if there is none."""
        incoming = self._reader.read(source)
        if incoming is None:
            return False
        self._progress[source].read(incoming.offset)
        if incoming.event is None or not target.accepts(incoming.event):
            self._progress[source].finish(incoming.offset)
            return True
        self._busy.add(source)
        task = asyncio.create_task(self._deliver(incoming, incoming.event, target))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(incoming, done))
        return True

    async def _deliver(self, incoming: Incoming, event: Event, target: Target) -> None:
        while True:
            try:
                await target.deliver(event, self._sleep)
                break
            except Interrupted:
                target = await self._next_target()
                if not target.accepts(event):
                    break
        self._progress[incoming.partition].finish(incoming.offset)

    async def _next_target(self) -> Target:
        """Wait until there is a target. Raises Stopping."""
        while not self._stopping and self._target is None:
            await self._interrupt.wait()
        if self._stopping or self._target is None:
            raise Stopping
        return self._target

    def _finished(self, incoming: Incoming, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy.discard(incoming.partition)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Stopping):
            log.error("the event at %s was not delivered", incoming[:2], exc_info=error)
        self.dispatch()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._interrupt.wait()
        except TimeoutError:
            return
        raise Interrupted

    def _interrupt_waits(self) -> None:
        self._interrupt.set()
        self._interrupt = asyncio.Event()

    async def _commit_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        moved = {source: found.position for source, found in self._progress.items() if found.position != self._committed[source]}
        if not moved:
            return
        try:
            await self._reader.commit(moved)
        except KafkaError as error:
            log.warning("the offsets of a Trigger or source are not committed (%s); trying again", error)
        else:
            self._committed |= moved
