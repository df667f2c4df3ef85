"""Fair scheduling of large predictions: in slices, on all cores, off the event loop.

A request of 100,000 rows then does not delay one of 100.
"""

from __future__ import annotations

import asyncio
import math
import threading
from array import array
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.errors import TimedOut
from functions.runtime.runtimes import Model, ask

if TYPE_CHECKING:
    from functions.runtime.inference.observers import CallObserver

# Rows of a slice: a library call of about 15 ms. Contributions cost about a hundred times as much per row.
SLICE_ROWS: dict[Kind, int] = {"value": 4_096, "margin": 4_096, "leaf": 2_048, "contributions": 64}
# A slice may be divided into this many parts for idle cores. Smaller parts would not be worth a call and a hop.
_PARTS = 8


@dataclass(slots=True)
class _Job:
    rows: Rows
    kind: Kind
    deadline: float
    future: asyncio.Future[Prediction]
    since: float = field(default_factory=perf_counter)
    begun: int = 0
    done: int = 0
    failed: bool = False
    # Rows in threads, and whether their caller no longer waits.
    computing: int = 0
    abandoned: bool = False
    parts: dict[int, Prediction] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Rows that no slice has yet."""
        return self.rows.count - self.begun


class FairScheduler:
    """Predicts in one thread per core; the library itself uses one core per call.

    The library's own threads would wait, spinning, for the slowest of them at the end of every call. A thread takes its
    next slice by itself, since the event loop may be busy when it has finished one.
    """

    def __init__(self, model: Model, observe: CallObserver, cores: int, abandoned: Callable[[int], None] = lambda _: None) -> None:
        """`abandoned` is called with the rows in computation when their caller stops waiting, and their negative when
        they are done."""
        self._model = model
        self._abandoned = abandoned
        self._observe = observe
        self._executor = ThreadPoolExecutor(cores, "predict")
        self._lock = threading.Lock()
        self._new: deque[_Job] = deque()
        self._begun: deque[_Job] = deque()
        # Whether the last slice was of a new job while begun jobs were waiting.
        self._passed = False
        # Threads that are not in a prediction; and of these, the ones without a task.
        self._idle = self._not_called = cores

    def predict(self, rows: Rows, kind: Kind, deadline: float) -> asyncio.Future[Prediction]:
        """Predict rows in slices; `deadline` is in seconds of the monotonic clock.

        The future raises TimedOut at the deadline, even during a call of the library, which cannot be interrupted.
        """
        loop = asyncio.get_running_loop()
        job = _Job(rows, kind, deadline, loop.create_future())
        self._give_up_in_time(job, loop)
        with self._lock:
            self._new.append(job)
            wanted = min(self._not_called, -(-rows.count // _part(kind)))
            self._not_called -= wanted
        for _ in range(wanted):
            self._executor.submit(self._work, loop)
        return job.future

    def _give_up_in_time(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        timer = None if job.deadline == math.inf else loop.call_later(max(0.0, job.deadline - monotonic()), _expire, job)

        def ended(_: object) -> None:
            if timer is not None:
                timer.cancel()
            with self._lock:
                job.abandoned = True
                computing = job.computing
            self._abandoned(computing)

        job.future.add_done_callback(ended)

    def close(self) -> None:
        """Stop the threads after their current slices."""
        self._executor.shutdown(wait=False)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Predict slices, in a thread, until none is left."""
        while (found := self._next_slice()) is not None:
            job, begin, count = found
            outcome = self._outcome(job, begin, count) if count else None
            with self._lock:
                self._idle += 1
                job.failed |= isinstance(outcome, Exception)
            loop.call_soon_threadsafe(self._end_slice, job, begin, count, outcome)

    def _end_slice(self, job: _Job, begin: int, count: int, outcome: Prediction | Exception | None) -> None:
        """Finish a slice, on the event loop."""
        with self._lock:
            job.computing -= count
            abandoned = job.abandoned
        if abandoned:
            self._abandoned(-count)
        _settle(job, begin, count, outcome)

    def _next_slice(self) -> tuple[_Job, int, int] | None:
        """Take a slice: its job, first row and number of rows, which is 0 after the job's deadline.

        Returns None if none is left.
        """
        with self._lock:
            while self._new or self._begun:
                job = self._next_job()
                if job.failed or job.future.done():  # the rest is not computed after a failure or a cancellation
                    continue
                if monotonic() > job.deadline:
                    self._idle -= 1
                    return job, job.begun, 0
                begin, count = job.begun, self._share(job)
                job.begun += count
                job.computing += count
                if job.left:
                    self._begun.append(job)
                self._idle -= 1
                return job, begin, count
            self._not_called += 1
            return None

    def _next_job(self) -> _Job:
        """Take the next job: new ones and begun ones alternate, a new one first."""
        self._passed = bool(self._new and self._begun) and not self._passed
        return (self._new if self._passed or not self._begun else self._begun).popleft()

    def _share(self, job: _Job) -> int:
        """Return the rows of the job's next slice: fewer than a full one if threads are idle."""
        part = _part(job.kind)
        threads = max(1, self._idle - len(self._new) - len(self._begun))
        return min(job.left, SLICE_ROWS[job.kind], part * -(-job.left // (part * threads)))

    def _outcome(self, job: _Job, begin: int, count: int) -> Prediction | Exception:
        try:
            return self._predict(job, begin, count)
        except Exception as error:  # noqa: BLE001 any error is the result of this request
            return error

    def _predict(self, job: _Job, begin: int, count: int) -> Prediction:
        values = job.rows.values
        if count < job.rows.count:
            width = len(values) // job.rows.count
            values = values[begin * width : (begin + count) * width]
        began = perf_counter()
        prediction = ask(self._model, values, count, job.kind)
        self._observe(job.kind, count, 0 if begin else 1, began - job.since, perf_counter() - began)
        return prediction


def _part(kind: Kind) -> int:
    """Return the rows of the smallest part of a slice."""
    return SLICE_ROWS[kind] // _PARTS


def _too_late(job: _Job) -> TimedOut:
    return TimedOut(f"the request timed out after {job.done} of {job.rows.count} rows", remedy="send fewer rows, or raise the timeout")


def _expire(job: _Job) -> None:
    if not job.future.done():
        job.future.set_exception(_too_late(job))


def _settle(job: _Job, begin: int, count: int, outcome: Prediction | Exception | None) -> None:
    """Record the outcome of a slice, on the event loop; None stands for a passed deadline."""
    if job.future.done():
        return
    if outcome is None:
        job.future.set_exception(_too_late(job))
    elif isinstance(outcome, Exception):
        job.future.set_exception(outcome)
    else:
        job.parts[begin] = outcome
        job.done += count
        if job.done == job.rows.count:
            job.future.set_result(_whole(job.parts))


def _whole(parts: dict[int, Prediction]) -> Prediction:
    in_order = [parts[begin] for begin in sorted(parts)]
    if len(in_order) == 1:
        return in_order[0]
    values = array(in_order[0].values.typecode)
    for part in in_order:
        values.extend(part.values)
    return Prediction(values, in_order[0].shape)
