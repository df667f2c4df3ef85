"""Gathering: what has arrived when the event loop comes round is predicted in one call, without a timer.

A call has a fixed cost of 100 to 150 us and a row costs 3 us, so rows are cheap and calls are dear. What is large goes to turns.py.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import NamedTuple

from functions.runtime.encoding import Rows
from functions.runtime.models import Kind, Model, Prediction

# Told of each call of the library: the kind, its rows, the requests that they are of, seconds that the first waited, seconds of the call.
Watch = Callable[[Kind, int, int, float, float], None]


class _Waiting(NamedTuple):
    rows: Rows
    future: asyncio.Future[Prediction]


class Gatherer:
    """Predicts rows of many callers in one call, on the event loop."""

    def __init__(self, model: Model, watch: Watch, *, max_rows: int) -> None:
        self._model = model
        self._watch = watch
        self._max_rows = max_rows
        self._waiting: dict[Kind, list[_Waiting]] = {}
        self._since = 0.0

    def predict(self, rows: Rows, kind: Kind) -> asyncio.Future[Prediction]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            self._since = perf_counter()
            # One more time round the loop: whoever is being read now comes along. This hop alone doubles the throughput.
            loop.call_soon(loop.call_soon, self._flush)
        self._waiting.setdefault(kind, []).append(_Waiting(rows, future))
        return future

    def _flush(self) -> None:
        taken, self._waiting = self._waiting, {}
        for kind, waiting in taken.items():
            # A caller who has gone is not computed for.
            there = [item for item in waiting if not item.future.done()]
            while there:
                batch, there = _up_to(there, self._max_rows)
                self._predict(batch, kind)

    def _predict(self, batch: list[_Waiting], kind: Kind) -> None:
        total = sum(item.rows.count for item in batch)
        began = perf_counter()
        try:
            prediction = self._model.predict(_joined(batch), total, kind)
        except Exception as error:  # noqa: BLE001 whatever went wrong is every caller's answer
            for item in batch:
                item.future.set_exception(error)
            return
        self._watch(kind, total, len(batch), began - self._since, perf_counter() - began)
        if len(batch) == 1:
            batch[0].future.set_result(prediction)
            return
        width = prod(prediction.shape)
        start = 0
        for item in batch:
            end = start + item.rows.count * width
            item.future.set_result(Prediction(prediction.values[start:end], prediction.shape))
            start = end


def _joined(batch: list[_Waiting]) -> array[float]:
    if len(batch) == 1:
        return batch[0].rows.values
    values = batch[0].rows.values[:]
    for item in batch[1:]:
        values.extend(item.rows.values)
    return values


def _up_to(waiting: list[_Waiting], limit: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first that fit into `limit` rows, at least one, and the rest."""
    rows = 0
    for index, item in enumerate(waiting):
        rows += item.rows.count
        if rows > limit and index:
            return waiting[:index], waiting[index:]
    return waiting, []
