"""Large predictions: off the event loop, a slice at a time, in turns, so that a caller of 100,000 rows holds up no caller of 100."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter

from functions.runtime.encoding import Rows
from functions.runtime.errors import TimedOut
from functions.runtime.gathering import Watch
from functions.runtime.models import Kind, Model, Prediction

# Rows of a slice: a library call of some 15 ms on one core. Contributions cost about a hundred times as much a row.
SLICE_ROWS: dict[Kind, int] = {"value": 4_096, "margin": 4_096, "leaf": 2_048, "contributions": 64}


@dataclass(slots=True)
class _Job:
    rows: Rows
    kind: Kind
    deadline: float
    future: asyncio.Future[Prediction]
    since: float = field(default_factory=perf_counter)
    done: int = 0
    parts: list[Prediction] = field(default_factory=list)


class Turns:
    """Predicts with a model of its own, which `make` loads when the first large request comes."""

    def __init__(self, make: Callable[[], Model], watch: Watch) -> None:
        self._make = make
        self._model: Model | None = None
        self._watch = watch
        self._jobs: deque[_Job] = deque()
        self._running: asyncio.Task[None] | None = None
        # One thread: the library's own threads share a large prediction, and two at once would only fight for the cores.
        self._executor = ThreadPoolExecutor(1, "predict")

    def predict(self, rows: Rows, kind: Kind, deadline: float) -> asyncio.Future[Prediction]:
        """`deadline` is of the monotonic clock: what has not been predicted by then is given up with TimedOut."""
        job = _Job(rows, kind, deadline, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._take_turns())
        return job.future

    def close(self) -> None:
        self._executor.shutdown(wait=False)

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while self._jobs:
            job = self._jobs.popleft()
            if job.future.done():  # its caller has gone: nothing more is computed for it
                continue
            if monotonic() > job.deadline:
                job.future.set_exception(
                    TimedOut(f"{job.done} of {job.rows.count} rows were predicted in the request's time; send fewer rows, or allow more.")
                )
                continue
            try:
                await loop.run_in_executor(self._executor, self._predict_slice, job)
            except Exception as error:  # noqa: BLE001 whatever went wrong is this caller's answer
                if not job.future.done():
                    job.future.set_exception(error)
                continue
            if job.done < job.rows.count:
                self._jobs.append(job)
            elif not job.future.done():
                job.future.set_result(_whole(job.parts))

    def _predict_slice(self, job: _Job) -> None:
        if self._model is None:
            self._model = self._make()
        count = min(SLICE_ROWS[job.kind], job.rows.count - job.done)
        values = job.rows.values
        if count < job.rows.count:
            width = len(values) // job.rows.count
            values = values[job.done * width : (job.done + count) * width]
        began = perf_counter()
        job.parts.append(self._model.predict(values, count, job.kind))
        self._watch(job.kind, count, 1, began - job.since if job.done == 0 else 0.0, perf_counter() - began)
        job.done += count


def _whole(parts: list[Prediction]) -> Prediction:
    if len(parts) == 1:
        return parts[0]
    values = array(parts[0].values.typecode)
    for part in parts:
        values.extend(part.values)
    return Prediction(values, parts[0].shape)
