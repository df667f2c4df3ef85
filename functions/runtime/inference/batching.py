"""Gathering: what has arrived when the event loop comes round is predicted in one call, without a timer.

A call has a fixed cost of 100 to 150 us and a row costs 3 us, so rows are cheap and calls are dear. What is large goes to turns.py.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from math import prod
from time import perf_counter

from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.runtimes import Model, ask

# Told of each call of the library: the kind, its rows, the requests that they are of, seconds that the first waited, seconds of the call.
Watch = Callable[[Kind, int, int, float, float], None]

_Waiting = tuple[Rows, "asyncio.Future[Prediction]"]


class Gatherer:
    """Predicts rows of many callers in one call, on the event loop."""

    def __init__(self, model: Model, watch: Watch, *, max_rows: int) -> None:
        self._model = model
        self._watch = watch
        self._max_rows = max_rows
        # By the kind and the precision of their rows, which can be joined.
        self._waiting: dict[tuple[Kind, str], list[_Waiting]] = {}
        self._since = 0.0

    def predict(self, rows: Rows, kind: Kind) -> asyncio.Future[Prediction]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            self._since = perf_counter()
            # One more time round the loop: whoever is being read now comes along. This hop alone doubles the throughput.
            loop.call_soon(loop.call_soon, self._flush)
        self._waiting.setdefault((kind, rows.values.typecode), []).append((rows, future))
        return future

    def _flush(self) -> None:
        taken, self._waiting = self._waiting, {}
        for key, waiting in taken.items():
            # A caller who has gone is not computed for.
            there = [item for item in waiting if not item[1].done()]
            if there:
                batch, rest = _up_to(there, self._max_rows)
                self._predict(batch, key[0])
                if rest:
                    self._waiting[key] = rest
        if self._waiting:  # when the event loop has come round to the others
            asyncio.get_running_loop().call_soon(self._flush)

    def _predict(self, batch: list[_Waiting], kind: Kind) -> None:
        values, total = _joined(batch)
        began = perf_counter()
        try:
            answers, shape = ask(self._model, values, total, kind)
        except Exception as error:  # noqa: BLE001 whatever went wrong is every caller's answer
            for _, future in batch:
                future.set_exception(error)
            return
        self._watch(kind, total, len(batch), began - self._since, perf_counter() - began)
        width = prod(shape)
        start = 0
        for rows, future in batch:
            end = start + rows.count * width
            future.set_result(Prediction(answers[start:end], shape))
            start = end


def _joined(batch: list[_Waiting]) -> tuple[array[float], int]:
    """The rows of all, and how many they are."""
    first, _ = batch[0]
    values, total = first.values, first.count
    if len(batch) > 1:
        values = values[:]
        for rows, _ in batch[1:]:
            values += rows.values
            total += rows.count
    return values, total


def _up_to(waiting: list[_Waiting], limit: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first that fit into `limit` rows, at least one, and the rest."""
    total = 0
    for index, (rows, _) in enumerate(waiting):
        total += rows.count
        if total > limit and index:
            return waiting[:index], waiting[index:]
    return waiting, []
