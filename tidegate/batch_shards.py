"""Several processes that share one batch on this machine, as the pods of an Indexed Job do on a cluster."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from types import FrameType

from common.errors import TidegateError
from functions.batch import job
from functions.batch.request import BatchRequest
from functions.batch.run.memory import use_little_memory
from functions.batch.run.plan import Shard
from functions.batch.settings import BatchLimits

# Until a process has removed the part that it was writing.
_STOP_SECONDS = 10.0

Message = job.Progress | job.Summary | TidegateError


def run(
    request: BatchRequest, count: int, url: str, limits: BatchLimits, progress: Callable[[job.Progress], None] = lambda _: None
) -> job.Summary:
    """Score the input with `count` processes, each of which has `limits`. Raises the first TidegateError of one.

    The first process begins alone until it has scored rows, so that a wrong request is one error, and a run has begun
    before others join it: none if the run turns out to be complete.
    """
    with _started() as start:
        shards = _Shards(count, progress)
        have_joined = False
        connections = {start(request, Shard(0, count), url, limits): 0}
        while connections:
            for connection in wait(list(connections)):
                assert isinstance(connection, Connection)  # noqa: S101 the type of what was given
                index = connections[connection]
                try:
                    shards.take(index, connection.recv())
                except EOFError:
                    del connections[connection]
                    shards.ended(index)
                if not have_joined and not shards.is_complete:
                    have_joined = True
                    connections |= {start(request, Shard(other, count), url, limits): other for other in range(1, count)}
        return shards.summary()


class _Shards:
    """What the processes have reported."""

    def __init__(self, count: int, progress: Callable[[job.Progress], None]) -> None:
        self._count = count
        self._progress = progress
        self._began = monotonic()
        self._latest: dict[int, job.Progress] = {}
        self._summaries: dict[int, job.Summary] = {}

    def take(self, index: int, message: Message) -> None:
        """Take a report. Raises it if it is an error."""
        if isinstance(message, TidegateError):
            raise message
        if isinstance(message, job.Summary):
            self._summaries[index] = message
            return
        self._latest[index] = message
        found = list(self._latest.values())
        first = self._latest[min(self._latest)]
        self._progress(
            job.Progress(
                rows=first.resumed + sum(one.rows - one.resumed for one in found),
                total_rows=first.total_rows,
                seconds=monotonic() - self._began,
                rejects=max(one.rejects for one in found),
                resumed=first.resumed,
                in_flight=sum(one.in_flight for one in found),
            )
        )

    def ended(self, index: int) -> None:
        """Check that a process that has ended had done its share. Raises TidegateError."""
        if index not in self._summaries:
            raise TidegateError(
                f"process {index + 1} of {self._count} ended before its share was done", remedy="go on by `tidegate batch resume`"
            )

    @property
    def is_complete(self) -> bool:
        """Whether a process has found the output there, or has completed it."""
        return any(one.complete for one in self._summaries.values())

    def summary(self) -> job.Summary:
        """Return the summary of the whole, by the process that completed it."""
        found = next((one for one in self._summaries.values() if one.complete), None)
        if found is None:
            raise TidegateError("parts of the batch are missing", remedy="go on by `tidegate batch resume`")
        return replace(found, seconds=monotonic() - self._began, scored=sum(one.scored for one in self._summaries.values()))


@contextmanager
def _started() -> Iterator[Callable[[BatchRequest, Shard, str, BatchLimits], Connection]]:
    """Yield a function that starts a process, and returns what it reports; all are ended with the block."""
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []

    def start(request: BatchRequest, shard: Shard, url: str, limits: BatchLimits) -> Connection:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(request, shard, url, limits, sending), daemon=True)
        with _interrupts_held():
            process.start()
            processes.append(process)
        sending.close()  # so that the end of the process ends the pipe
        return receiving

    try:
        yield start
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_STOP_SECONDS)
            process.kill()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, where it is raised: it would leave a process half started.

    A new process inherits the mask, so that Ctrl-C does not reach it before `_work` ignores it. In this process a mask
    is not enough: any other thread takes the signal, and Python raises it in the main one.
    """
    if threading.current_thread() is not threading.main_thread():  # it is never interrupted
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:  # Windows has none
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if held and callable(handler):
            handler(*held[0])


def _work(request: BatchRequest, shard: Shard, url: str, limits: BatchLimits, sending: Connection) -> None:
    """Score a share in this process, and report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    use_little_memory()
    with suppress(asyncio.CancelledError, BrokenPipeError):
        try:
            sending.send(asyncio.run(_score(request, shard, url, limits, sending)))
        except TidegateError as error:
            sending.send(error)


async def _score(request: BatchRequest, shard: Shard, url: str, limits: BatchLimits, sending: Connection) -> job.Summary:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await job.run(request, url=url, progress=sending.send, limits=limits, shard=shard)
