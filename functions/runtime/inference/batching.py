"""Micro-batching: the requests of one round of the event loop share one call of the library, without a timer.

A call has a fixed cost of 100 to 150 us and a row costs 3 us. Large requests go to scheduler.py.
"""

from __future__ import annotations

import asyncio
from array import array
from math import inf, prod
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.errors import TimedOut
from functions.runtime.runtimes import Model, ask

if TYPE_CHECKING:
    from functions.runtime.inference.observers import CallObserver

# Rows, their future, and the time until which their caller waits.
_Waiting = tuple[Rows, "asyncio.Future[Prediction]", float]


class MicroBatcher:
    """Predicts rows of many callers in one call, on the event loop."""

    def __init__(self, model: Model, observe: CallObserver, *, max_rows: int) -> None:
        self._model = model
        self._observe = observe
        self._max_rows = max_rows
        # By kind and precision: rows of the same can be joined.
        self._waiting: dict[tuple[Kind, str], list[_Waiting]] = {}
        self._since = 0.0

    def predict(self, rows: Rows, kind: Kind, deadline: float = inf) -> asyncio.Future[Prediction]:
        """Predict rows together with others that arrive in this round of the event loop.

        The future raises TimedOut if the prediction has not begun at the deadline, in seconds of the monotonic clock.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            self._since = perf_counter()
            # After one more round of the loop, so that requests that are being read join the batch. This doubles the
            # throughput.
            loop.call_soon(loop.call_soon, self._flush)
        self._waiting.setdefault((kind, rows.values.typecode), []).append((rows, future, deadline))
        return future

    def _flush(self) -> None:
        taken, self._waiting = self._waiting, {}
        for key, waiting in taken.items():
            pending = _wanted(waiting)
            if pending:
                batch, rest = _up_to(pending, self._max_rows)
                self._predict(batch, key[0])
                if rest:
                    self._waiting[key] = rest
        if self._waiting:  # in the next round of the event loop, after other work
            asyncio.get_running_loop().call_soon(self._flush)

    def _predict(self, batch: list[_Waiting], kind: Kind) -> None:
        values, total = _joined(batch)
        began = perf_counter()
        try:
            answers, shape = ask(self._model, values, total, kind)
        except Exception as error:  # noqa: BLE001 any error is the result of every request in the batch
            for _, future, _ in batch:
                future.set_exception(error)
            return
        self._observe(kind, total, len(batch), began - self._since, perf_counter() - began)
        width = prod(shape)
        start = 0
        for rows, future, _ in batch:
            end = start + rows.count * width
            future.set_result(Prediction(answers[start:end], shape))
            start = end


def _wanted(waiting: list[_Waiting]) -> list[_Waiting]:
    """Those of the requests that are not cancelled, and whose callers still wait."""
    now = monotonic()
    wanted = []
    for item in waiting:
        _, future, deadline = item
        if future.done():
            continue
        if deadline > now:
            wanted.append(item)
        else:
            future.set_exception(TimedOut("the request timed out before its prediction began", remedy="allow more time"))
    return wanted


def _joined(batch: list[_Waiting]) -> tuple[array[float], int]:
    """Join the rows of a batch; returns their values and number."""
    first = batch[0][0]
    values, total = first.values, first.count
    if len(batch) > 1:
        values = values[:]
        for rows, *_ in batch[1:]:
            values += rows.values
            total += rows.count
    return values, total


def _up_to(waiting: list[_Waiting], limit: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """Split off the first requests that fit into `limit` rows, at least one; returns them and the rest."""
    total = 0
    for index, (rows, *_) in enumerate(waiting):
        total += rows.count
        if total > limit and index:
            return waiting[:index], waiting[index:]
    return waiting, []
