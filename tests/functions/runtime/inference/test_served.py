from __future__ import annotations

import asyncio
import threading
from array import array
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import InvalidInput, TimedOut, TooLarge
from functions.runtime.inference import served as served_module
from functions.runtime.inference.served import PendingRows, PredictionLimits, ServedModel

CARD = Card("sum", (Input("a", "FP32"), Input("b", "FP32")), (Output("sum"),), Artifact("none"))


class Sum:
    signature = Signature(2, kinds={"value": (), "margin": ()})

    def __init__(self) -> None:
        self.kinds: list[Kind] = []

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.kinds.append(kind)
        return Prediction(array("f", [values[2 * row] + values[2 * row + 1] for row in range(rows)]), ())


def ignored(*_: object) -> None:
    """Ignore the call."""


def serve(
    model: Sum,
    card: Card = CARD,
    limits: PredictionLimits | None = None,
    pending: PendingRows | None = None,
    *,
    warm_up_seconds: float = 0.0,
) -> ServedModel:
    loaded = Loaded(card, Encoder(card, card.columns), model, resolve(card, model.signature), Path("none"))
    return ServedModel(loaded, limits or PredictionLimits(), ignored, ignored, pending, warm_up_seconds)


def rows(count: int) -> Rows:
    return Rows(array("f", [1.0, 2.0]) * count, count)


async def answered(served: ServedModel, count: int) -> bool:
    (tensor,) = await served.infer(rows(count), served.outputs.default)
    return tensor.data == array("f", [3.0]) * count


async def test_each_kind_of_prediction_is_computed_once() -> None:
    model = Sum()
    card = replace(CARD, outputs=(Output("sum"), Output("again"), Output("raw", meaning="margin")))
    served = serve(model, card)
    predicted = await served.infer(rows(2), served.outputs.default)
    assert [(tensor.name, tensor.data.tolist() if isinstance(tensor.data, array) else None) for tensor in predicted] == [
        ("sum", [3.0, 3.0]),
        ("again", [3.0, 3.0]),
        ("raw", [3.0, 3.0]),
    ]
    assert sorted(model.kinds) == ["margin", "value"]


async def test_no_rows_and_too_many_rows_are_refused() -> None:
    served = serve(Sum(), limits=PredictionLimits(request_rows=10))
    with pytest.raises(InvalidInput, match="has no rows"):
        await served.infer(rows(0), served.outputs.default)
    with pytest.raises(TooLarge, match="has 11 rows, more than the limit of 10"):
        await served.infer(rows(11), served.outputs.default)


class Slow(Sum):
    """A model that records the thread of each call and waits at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.gate = threading.Event()

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.threads.append(threading.current_thread().name)
        assert self.gate.wait(10)
        return super().predict(values, rows, kind)


async def test_slow_model_runs_off_the_event_loop_with_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_module, "_SLOW_SECONDS", 0.0)
    model, pending = Slow(), PendingRows()
    served = serve(model, pending=pending, warm_up_seconds=1.0)
    with pytest.raises(TimedOut, match="0 of 1 rows"):
        await served.infer(rows(1), served.outputs.default, monotonic() + 0.01)
    assert pending.rows == 1
    model.gate.set()
    assert await answered(served, 1)
    async with asyncio.timeout(10):
        while pending.rows:  # noqa: ASYNC110 the first call, left behind at its deadline, may end after the second
            await asyncio.sleep(0.01)
    assert all(thread.startswith("predict") for thread in model.threads)


async def test_model_that_is_fast_again_runs_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Slow()
    model.gate.set()
    served = serve(model, warm_up_seconds=1.0)
    monkeypatch.setattr(served_module, "_SLOW_SECONDS", 60.0)
    for _ in range(2):
        assert await answered(served, 1)
    assert [thread.startswith("predict") for thread in model.threads] == [True, False]
