"""Gathering: what has arrived when the event loop comes round is predicted in one call, without a timer.

A call has a fixed cost of 100 to 150 us and a row costs 3 us, so rows are cheap and calls are dear.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from functions.runtime.encoding import Rows
from functions.runtime.errors import Overloaded
from functions.runtime.models import Model

# Below this a hop to another thread costs more than it frees; above it the event loop would stall for milliseconds.
OFF_LOOP_ROWS = 64

_Waiting = list[tuple[Rows, "asyncio.Future[array[float]]"]]


class Gatherer:
    """Predicts rows of many callers together. `inline` is used on the event loop, `bulk()` makes one for the worker thread."""

    def __init__(self, inline: Model, bulk: Callable[[], Model], *, max_rows: int, max_waiting_rows: int) -> None:
        self._inline = inline
        self._make_bulk = bulk
        self._bulk: Model | None = None
        self._max_rows = max_rows
        self._max_waiting_rows = max_waiting_rows
        self._waiting: _Waiting = []
        self._waiting_rows = 0
        self._scheduled = False
        # One thread: XGBoost's own threads share a large prediction, and two at once would only fight for the cores.
        self._executor = ThreadPoolExecutor(1, "predict")

    async def predict(self, rows: Rows) -> array[float]:
        """Scores, rows x k. Raises Overloaded when too many rows wait already."""
        if self._waiting_rows + rows.count > self._max_waiting_rows and self._waiting_rows:
            raise Overloaded(f"{self._waiting_rows} rows are waiting for a prediction; send this request again a little later.")
        self._waiting_rows += rows.count
        try:
            if rows.count >= OFF_LOOP_ROWS:
                return await asyncio.get_running_loop().run_in_executor(self._executor, self._predict_bulk, rows)
            return await self._predict_together(rows)
        finally:
            self._waiting_rows -= rows.count

    def close(self) -> None:
        self._executor.shutdown()

    def _predict_bulk(self, rows: Rows) -> array[float]:
        if self._bulk is None:
            self._bulk = self._make_bulk()
        return self._bulk.predict(rows.values, rows.count)

    def _predict_together(self, rows: Rows) -> asyncio.Future[array[float]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[array[float]] = loop.create_future()
        self._waiting.append((rows, future))
        if not self._scheduled:
            self._scheduled = True
            # One more time round the loop: whoever is being read now comes along. This hop alone doubles the throughput.
            loop.call_soon(loop.call_soon, self._flush)
        return future

    def _flush(self) -> None:
        self._scheduled = False
        waiting, self._waiting = self._waiting, []
        while waiting:
            taken, waiting = _up_to(waiting, self._max_rows)
            self._predict_batch(taken)

    def _predict_batch(self, batch: _Waiting) -> None:
        values = array("f")
        for rows, _ in batch:
            values.extend(rows.values)
        total = sum(rows.count for rows, _ in batch)
        try:
            scores = self._inline.predict(values, total)
        except Exception as error:  # noqa: BLE001 whatever went wrong is every caller's answer
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        per_row = len(scores) // total
        start = 0
        for rows, future in batch:
            end = start + rows.count * per_row
            if not future.done():
                future.set_result(scores[start:end])
            start = end


def _up_to(waiting: _Waiting, limit: int) -> tuple[_Waiting, _Waiting]:
    """The first that fit into `limit` rows, at least one, and the rest."""
    rows = 0
    for index, (item, _) in enumerate(waiting):
        rows += item.count
        if rows > limit and index:
            return waiting[:index], waiting[index:]
    return waiting, []
