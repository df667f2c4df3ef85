"""A loaded model that predicts rows for any transport, with admission by row limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import Outputs, OutputTensor, ServedOutput
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.errors import InvalidInput, Overloaded, TimedOut, TooLarge
from functions.runtime.inference.batching import MicroBatcher
from functions.runtime.inference.cores import cores
from functions.runtime.inference.limits import MAX_ROWS, MAX_WAITING_ROWS
from functions.runtime.inference.scheduler import FairScheduler

if TYPE_CHECKING:
    from functions.runtime.inference.observers import CallObserver, RowObserver

# Fewer rows are predicted on the event loop: a hop to another thread would cost more than it frees. More would stall it
# for milliseconds.
OFF_LOOP_ROWS = 64
# The event loop answers nothing during a call, and the kubelet's liveness probe times out after a second.
_SLOW_SECONDS = 0.25
# Labels of this many rows take a millisecond or more: they are converted in another thread.
_OFFLOAD_ROWS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLimits:
    """The limits of one function's predictions."""

    batch_rows: int = 4_096
    """Rows of a micro-batch.

    An XGBoost call of 4,096 rows takes about 13 ms; longer calls would delay the small ones.
    """

    request_rows: int = MAX_ROWS
    """Rows of a request. A larger one should be sent in parts, so that replicas can share it."""

    answer_values: int = 4_000_000
    """Numbers in one response: explanations of 100,000 rows of 30 features, or the leaves of 20,000 rows in 200 trees;
    about 60 MB of JSON."""

    waiting_rows: int = MAX_WAITING_ROWS
    """Rows that wait for a prediction: about a second of work at 3 us a row; further requests should be retried
    later."""

    cores: int = field(default_factory=cores)
    """Large predictions at once; each takes a core."""


@dataclass(slots=True)
class PendingRows:
    """The number of rows that wait for a prediction or are being predicted, shared by all models of a function."""

    rows: int = 0

    def add(self, rows: int) -> None:
        """Count rows that the library computes after their caller has gone or timed out; negative when it is done."""
        self.rows += rows


@dataclass(slots=True)
class _Pace:
    """Whether calls for few rows are too slow for the event loop, as measured by the last such call."""

    slow: bool

    def observed(self, observer: CallObserver) -> CallObserver:
        def observe(kind: Kind, rows: int, requests: int, waited_seconds: float, took_seconds: float) -> None:
            if rows < OFF_LOOP_ROWS:
                self.slow = took_seconds > _SLOW_SECONDS
            observer(kind, rows, requests, waited_seconds, took_seconds)

        return observe


class ServedModel:
    """A loaded model behind every transport. It stays usable while it is referenced; its threads end after that."""

    def __init__(
        self,
        loaded: Loaded,
        limits: PredictionLimits,
        observe_call: CallObserver,
        observe_rows: RowObserver,
        pending: PendingRows | None = None,
        warm_up_seconds: float = 0.0,
    ) -> None:
        """`warm_up_seconds` is the time of a call for one row."""
        self.card: Card = loaded.card
        self.encoder: Encoder = loaded.encoder
        self.outputs: Outputs = loaded.outputs
        self._limits = limits
        self._observe_rows = observe_rows
        self._pending = pending or PendingRows()
        self._pace = _Pace(warm_up_seconds > _SLOW_SECONDS)
        observed = self._pace.observed(observe_call)
        self._batcher = MicroBatcher(loaded.model, observed, max_rows=limits.batch_rows)
        self._scheduler = FairScheduler(loaded.model, observed, limits.cores, self._pending.add)

    async def infer(self, rows: Rows, outputs: Sequence[ServedOutput], deadline: float = math.inf) -> list[OutputTensor]:
        """Predict the outputs, in their order; `deadline` is in seconds of the monotonic clock.

        Raises InvalidInput, TooLarge, Overloaded and TimedOut.
        """
        self._admit(rows, outputs)
        if monotonic() >= deadline:
            raise TimedOut("the request timed out before its prediction began", remedy="allow more time")
        self._pending.rows += rows.count
        try:
            predictions: dict[Kind, Prediction] = {}
            for output in outputs:
                if output.kind not in predictions:
                    predictions[output.kind] = await self._predict(rows, output.kind, deadline)
            if "value" in predictions:
                self._observe_rows(rows.values, rows.count, predictions["value"].values)
            if rows.count < _OFFLOAD_ROWS:
                return _tensors(outputs, predictions, rows.count)
            return await asyncio.to_thread(_tensors, outputs, predictions, rows.count)
        finally:
            self._pending.rows -= rows.count

    def _predict(self, rows: Rows, kind: Kind, deadline: float) -> asyncio.Future[Prediction]:
        if rows.count < OFF_LOOP_ROWS and kind != "contributions" and not self._pace.slow:
            return self._batcher.predict(rows, kind, deadline)
        return self._scheduler.predict(rows, kind, deadline)

    @property
    def max_values(self) -> int:
        """The limit of a request's values: its rows times the model's inputs."""
        return self._limits.request_rows * len(self.encoder.names)

    @property
    def max_rows_at_once(self) -> int:
        """The limit of the rows that one caller should have waiting, over several requests."""
        return min(self._limits.request_rows, self._limits.waiting_rows)

    def check_rows(self, count: int) -> None:
        """Raise TooLarge for too many rows in a request.

        Call it before encoding: rows may take a hundred times their JSON.
        """
        if count > self._limits.request_rows:
            raise TooLarge(
                f"the request has {count} rows, more than the limit of {self._limits.request_rows}", remedy="send several requests"
            )

    def _admit(self, rows: Rows, outputs: Sequence[ServedOutput]) -> None:
        if rows.count == 0:
            raise InvalidInput("the request has no rows", remedy="send at least one")
        self.check_rows(rows.count)
        values = rows.count * sum([output.width for output in outputs])
        if values > self._limits.answer_values:
            raise TooLarge(
                f"the response would have {values} values, more than the limit of {self._limits.answer_values}",
                remedy="send fewer rows, or request fewer outputs",
            )
        waiting = self._pending.rows
        if waiting + rows.count > self._limits.waiting_rows and waiting:
            raise Overloaded(f"queue full ({waiting} rows)", remedy="retry later")


def _tensors(outputs: Sequence[ServedOutput], predictions: Mapping[Kind, Prediction], count: int) -> list[OutputTensor]:
    return [output.tensor(predictions[output.kind], count) for output in outputs]
