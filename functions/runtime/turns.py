"""Large predictions: off the event loop, on all cores, a slice at a time, in turns, so that a caller of 100,000 rows holds up no caller
of 100."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, perf_counter

from functions.runtime.encoding import Rows
from functions.runtime.errors import TimedOut
from functions.runtime.gathering import Watch
from functions.runtime.models import Kind, Model, Prediction

# Rows of a slice: a library call of some 15 ms. Contributions cost about a hundred times as much a row.
SLICE_ROWS: dict[Kind, int] = {"value": 4_096, "margin": 4_096, "leaf": 2_048, "contributions": 64}
# A slice may be divided into this many parts, for cores that have nothing else to do. Smaller ones would not be worth a call and a hop.
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
    parts: dict[int, Prediction] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return self.rows.count - self.begun


class Turns:
    """Predicts in as many threads as there are cores for it; the library itself takes one core a call.

    Cores by threads of the library would wait for each other at the end of each call, and turn idly meanwhile.
    """

    def __init__(self, model: Model, watch: Watch, cores: int) -> None:
        self._model = model
        self._watch = watch
        self._jobs: deque[_Job] = deque()
        self._free = cores
        self._executor = ThreadPoolExecutor(cores, "predict")

    def predict(self, rows: Rows, kind: Kind, deadline: float) -> asyncio.Future[Prediction]:
        """`deadline` is of the monotonic clock: what has not been predicted by then is given up with TimedOut."""
        job = _Job(rows, kind, deadline, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._begin_slices()
        return job.future

    def close(self) -> None:
        self._executor.shutdown(wait=False)

    def _begin_slices(self) -> None:
        loop = asyncio.get_running_loop()
        while self._free and self._jobs:
            job = self._jobs.popleft()
            if job.future.done():  # its caller has gone, or a slice has failed: nothing more is computed for it
                continue
            if monotonic() > job.deadline:
                job.future.set_exception(
                    TimedOut(f"{job.done} of {job.rows.count} rows were predicted in the request's time; send fewer rows, or allow more.")
                )
                continue
            begin, count = job.begun, self._share(job)
            job.begun += count
            if job.left:
                self._jobs.append(job)
            self._free -= 1
            running = loop.run_in_executor(self._executor, self._predict, job, begin, count)
            running.add_done_callback(partial(self._end_slice, job, begin, count))

    def _share(self, job: _Job) -> int:
        """How many rows to predict next: one slice, or less when there are cores without another job."""
        most = SLICE_ROWS[job.kind]
        part = most // _PARTS
        cores = max(1, self._free - len(self._jobs))
        return min(job.left, most, part * -(-job.left // (part * cores)))

    def _predict(self, job: _Job, begin: int, count: int) -> Prediction:
        values = job.rows.values
        if count < job.rows.count:
            width = len(values) // job.rows.count
            values = values[begin * width : (begin + count) * width]
        began = perf_counter()
        prediction = self._model.predict(values, count, job.kind)
        self._watch(job.kind, count, 1, 0.0 if begin else began - job.since, perf_counter() - began)
        return prediction

    def _end_slice(self, job: _Job, begin: int, count: int, running: asyncio.Future[Prediction]) -> None:
        self._free += 1
        error = running.exception()
        if not job.future.done():
            if error is not None:
                job.future.set_exception(error)  # whatever went wrong is this caller's answer
            else:
                job.parts[begin] = running.result()
                job.done += count
                if job.done == job.rows.count:
                    job.future.set_result(_whole(job.parts))
        self._begin_slices()


def _whole(parts: dict[int, Prediction]) -> Prediction:
    in_order = [parts[begin] for begin in sorted(parts)]
    if len(in_order) == 1:
        return in_order[0]
    values = array(in_order[0].values.typecode)
    for part in in_order:
        values.extend(part.values)
    return Prediction(values, in_order[0].shape)
