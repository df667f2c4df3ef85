"""Many streams in one process: each runs by itself, and is restarted when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from common.errors import TidegateError
from common.redaction import redact
from functions.stream import startup
from functions.stream.health import LIVENESS, READINESS, Health
from functions.stream.input import THREAD_NAME
from functions.stream.metrics import exposition, joined
from functions.stream.report import logger, named
from functions.stream.settings import StreamSettings
from functions.stream.stall import Stalled
from functions.stream.streams import NamedStream

Run = Callable[[StreamSettings, asyncio.Event, Health], Awaitable[None]]

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# A stream that was ready for so long begins a new series of pauses.
_STEADY_SECONDS = 60.0
_WATCH_SECONDS = 0.5
# Clients of stalled streams may never return, each with a connection and a thread; more than these are not left behind.
_MOST_HANGING = 4
# Blocking calls of one stream at a time: a client that connects, a check of its access, a read of ends.
_THREADS_PER_STREAM = 4
_SPARE_THREADS = 8
# Within it, an idle thread answers even on a busy machine.
_PROBE_SECONDS = 30.0
# Beyond a stream's own time for a stop: its clients are closed.
_LAST_SECONDS = 10.0


class AllStreamsFailed(TidegateError):
    """No stream of the process runs, and none became ready since it failed."""


class StreamsHealth:
    """The health of the process and of each of its streams."""

    def __init__(self, names: Sequence[str]) -> None:
        self.dead = ""
        self.streams: Mapping[str, Health] = {name: Health() for name in names}

    def answer(self, path: str) -> tuple[HTTPStatus, str]:
        """Respond for the process to liveness, for all streams to readiness, and for one to readiness with its name.

        The process is ready as long as one of its streams is: a topic that is missing must hold up no rollout.
        """
        if path == LIVENESS:
            return (HTTPStatus.SERVICE_UNAVAILABLE, self.dead) if self.dead else (HTTPStatus.OK, "ok")
        if path == READINESS:
            unready = {name: _problem(health) for name, health in self.streams.items() if _problem(health)}
            status = HTTPStatus.SERVICE_UNAVAILABLE if self.dead or len(unready) == len(self.streams) else HTTPStatus.OK
            ready = f"{len(self.streams) - len(unready)} of {len(self.streams)} streams are ready."
            return status, "\n".join([ready, *(f"{name}: {problem}" for name, problem in unready.items())])
        health = self.streams.get(path.removeprefix(f"{READINESS}/"))
        if health is None or not path.startswith(f"{READINESS}/"):
            routes = f"{LIVENESS}, {READINESS}, {READINESS}/NAME for the name of a stream, and /metrics"
            return HTTPStatus.NOT_FOUND, f"not found; the routes are {routes}."
        problem = _problem(health)
        return (HTTPStatus.SERVICE_UNAVAILABLE, problem) if problem else (HTTPStatus.OK, "ok")

    def exposition(self) -> bytes:
        return exposition(joined({name: health.metrics for name, health in self.streams.items()}))


class Supervisor:
    """Runs streams until they are stopped, or until none of them can run in this process."""

    def __init__(self, streams: Sequence[NamedStream], health: StreamsHealth, run: Run = startup.run) -> None:
        self._health = health
        self._keepers = [_Keeper(stream, health.streams[stream.name], run, self._failed) for stream in streams]

    async def run(self, stop: asyncio.Event) -> None:
        """Run all streams until `stop` is set, then until each is drained.

        Raises AllStreamsFailed when each has failed and is not ready again, Stalled when streams stall for a reason that
        only another process cures: their clients hang, or so do the threads that all streams share.
        """
        # The default of the loop has few threads for many streams: those of a stream without a topic would hold up others.
        threads = _THREADS_PER_STREAM * len(self._keepers) + _SPARE_THREADS
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, "tidegate-shared"))
        tasks = {asyncio.create_task(keeper.run(stop)) for keeper in self._keepers}
        watching = asyncio.create_task(self._watch())
        try:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            watching.cancel()
        error = next((error for task in finished if (error := task.exception()) is not None), None)
        if error is None:
            return
        self._health.dead = redact(str(error))
        logger.error("stopping all streams: %s", redact(str(error)))
        stop.set()
        await asyncio.wait(tasks, timeout=max(keeper.stop_seconds for keeper in self._keepers) + _LAST_SECONDS)
        raise error

    @property
    def hanging(self) -> int:
        """The threads of clients that were left behind."""
        alive = sum(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate())
        return max(0, alive - sum(keeper.is_running for keeper in self._keepers))

    async def _watch(self) -> None:
        """Note which streams have become ready since they failed."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for keeper in self._keepers:
                keeper.note()

    async def _failed(self, error: Exception) -> None:
        """Raise what ends the process after this failure of a stream, if it does."""
        if isinstance(error, Stalled):
            await self._check_threads(error)
        if all(keeper.is_failing for keeper in self._keepers):
            count = len(self._keepers)
            raise AllStreamsFailed(f"no stream of {count} runs; the last one failed with: {redact(str(error))}")

    async def _check_threads(self, error: Stalled) -> None:
        if self.hanging > _MOST_HANGING:
            raise Stalled(f"clients of {self.hanging} stalled streams hang ({redact(str(error))})")
        try:
            await asyncio.wait_for(asyncio.to_thread(lambda: None), _PROBE_SECONDS)
        except TimeoutError:
            raise Stalled(f"the threads that all streams share hang ({redact(str(error))})") from None


class _Keeper:
    """One stream: its runs, and the pauses between them."""

    def __init__(self, stream: NamedStream, health: Health, run: Run, failed: Callable[[Exception], Awaitable[None]]) -> None:
        self._stream = stream
        self.stop_seconds = stream.settings.stop_seconds
        self._health = health
        self._run = run
        self._failed = failed
        self._failures = 0
        self._ready_since: float | None = None
        self.is_running = False
        self.is_failing = False
        """Whether it has failed, and was not ready since."""

    async def run(self, stop: asyncio.Event) -> None:
        with named(self._stream.name):
            while not stop.is_set():
                error = await self._try(stop)
                if error is None:
                    return
                pause = self._pause()
                problem = redact(str(error)).rstrip(".") or type(error).__name__
                self.is_failing, self._ready_since = True, None
                self._health.dead, self._health.unready = "", f"it has failed: {problem}; it is restarted after {pause:.0f} s."
                logger.error("the stream has failed (%s); it is restarted in %.1f s", problem, pause)
                await self._failed(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)

    async def _try(self, stop: asyncio.Event) -> Exception | None:
        """Run the stream until it is stopped, and return why it failed, or None."""
        self.is_running = True
        try:
            await self._run(self._stream.settings, stop, self._health)
        except TidegateError as error:
            return error
        except Exception as error:  # noqa: BLE001 the fault of one stream, with its place, must not stop the others
            logger.error("unexpected error: %s", redact(str(error)), exc_info=error)
            return error
        finally:
            self.is_running = False
        return None

    def note(self) -> None:
        """Note whether the stream is ready now."""
        if not self.is_running or _problem(self._health):
            return
        self.is_failing = False
        now = asyncio.get_running_loop().time()
        if self._ready_since is None:
            self._ready_since = now
        elif now - self._ready_since >= _STEADY_SECONDS:
            self._failures = 0

    def _pause(self) -> float:
        """Return the seconds until the next start: they double with each failure, and differ between streams."""
        self._failures += 1
        longest = min(_FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 no secret


def _problem(health: Health) -> str:
    return health.dead or health.unready
