from __future__ import annotations

import asyncio
import gc
import math
import threading
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder, Rows, Transform
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import InvalidModel, NotAllowed, NotReady, Overloaded, UnknownModel
from functions.runtime.inference.registry import DataPlane, ModelEntry
from functions.runtime.inference.served import OFF_LOOP_ROWS, PredictionLimits, ServedModel
from functions.runtime.observability.metrics import Metrics

CARD = Card("sum", (Input("a", "FP32"), Input("b", "FP32")), (Output("sum"),), Artifact("none"))


class Sum:
    signature = Signature(2, kinds={"value": (), "margin": ()})

    def __init__(self) -> None:
        self.kinds: list[Kind] = []

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.kinds.append(kind)
        return Prediction(array("f", [values[2 * row] + values[2 * row + 1] for row in range(rows)]), ())


class TwoValues(Sum):
    """A model that returns more values than its signature has."""

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", [0.0] * 2 * rows), (2,))


def loaded(card: Card = CARD, model: Sum | None = None, transform: Transform | None = None) -> Loaded:
    model = model or Sum()
    encoder = Encoder(card, card.columns, transform)
    return Loaded(card, encoder, model, resolve(card, model.signature), Path("none"))


def plane_of(*models: Loaded, load: Callable[[], Loaded] = loaded, metrics: Metrics | None = None, **options: Any) -> DataPlane:
    return DataPlane([(model, load) for model in models], metrics or Metrics(), **options)


def rows(count: int) -> Rows:
    return Rows(array("f", [1.0, 2.0]) * count, count)


def test_newest_version_answers_by_default() -> None:
    plane = plane_of(*(loaded(replace(CARD, version=version)) for version in ("v9", "v10", "v2")), loaded(replace(CARD, name="other")))
    assert plane.names == ["sum", "other"]
    assert plane.versions("sum") == ["v2", "v9", "v10"]
    assert plane.entry("sum").version == "v10"
    assert plane.entry("sum", "v2").version == "v2"
    assert plane.entry("other").version is None
    with pytest.raises(UnknownModel, match="version 'v3' of the model sum not found; this function serves v2, v9, v10"):
        plane.entry("sum", "v3")
    with pytest.raises(UnknownModel, match="model 'x' not found; this function serves sum, other"):
        plane.entry("x")
    with pytest.raises(UnknownModel, match="names no model, and this function serves sum, other; name one of them"):
        plane.only()


def test_invalid_example_of_the_card_fails_at_start() -> None:
    with pytest.raises(InvalidModel, match="the example of the model sum is not a valid row: the input b is missing"):
        plane_of(loaded(replace(CARD, example={"a": 1.0})))


def test_model_that_contradicts_its_signature_fails_at_start() -> None:
    with pytest.raises(InvalidModel, match=r"the model sum predicts 2 values for a row; its signature has the shape \[\]"):
        plane_of(loaded(model=TwoValues()))


def test_transform_without_a_feature_fails_at_start() -> None:
    card = replace(CARD, features=("a", "c"), transform="mine", example={"a": 1.0, "b": 2.0})
    with pytest.raises(InvalidModel, match="the transform mine returns no feature 'c'"):
        plane_of(loaded(card, transform=lambda record: dict(record)))


async def test_model_is_unloaded_and_loaded_if_allowed() -> None:
    with pytest.raises(NotAllowed, match="not allowed; enable model control"):
        plane_of(loaded()).controlled("sum")
    plane = plane_of(loaded(), control=True)
    (entry,) = plane.controlled("sum")
    serving = entry.model
    await entry.unload()
    with pytest.raises(NotReady, match="the model sum is not loaded: it was unloaded"):
        entry.check_ready()
    assert await answered(serving, OFF_LOOP_ROWS)  # an earlier reference still predicts
    await entry.load()
    assert entry.model is not serving
    assert entry.reason == ""
    assert await answered(serving, OFF_LOOP_ROWS)
    assert await answered(entry.model, OFF_LOOP_ROWS)


async def test_threads_of_an_unreferenced_model_end() -> None:
    entry = plane_of(loaded(), control=True).only()
    before = set(threading.enumerate())
    assert await answered(entry.model, OFF_LOOP_ROWS)
    threads = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("predict")]
    assert threads
    await entry.unload()
    gc.collect()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


class Reloads:
    """A load function whose calls wait at a gate."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.running = 0
        self.most = 0

    def __call__(self) -> Loaded:
        self.running += 1
        self.most = max(self.most, self.running)
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        self.running -= 1
        return loaded()

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=10)


async def test_unload_during_a_load_wins() -> None:
    load = Reloads()
    entry = plane_of(loaded(), load=load, control=True).only()
    loading = asyncio.ensure_future(entry.load())
    await load.begun()
    unloading = asyncio.ensure_future(entry.unload())
    await asyncio.sleep(0)
    load.gate.release()
    await asyncio.gather(loading, unloading)
    assert not entry.ready


async def test_loads_of_one_model_are_serialized() -> None:
    load = Reloads()
    entry = plane_of(loaded(), load=load, control=True).only()
    loading = [asyncio.ensure_future(entry.load()) for _ in range(2)]
    await load.begun()
    await asyncio.sleep(0.05)
    load.gate.release(2)
    await asyncio.gather(*loading)
    assert load.most == 1


def fail() -> Loaded:
    raise InvalidModel("the artifact is gone.")


@pytest.mark.parametrize("load", [fail, lambda: loaded(model=TwoValues())], ids=["load", "warm-up"])
async def test_failed_load_keeps_the_model_and_its_metrics(load: Callable[[], Loaded]) -> None:
    metrics = Metrics()
    entry: ModelEntry = plane_of(loaded(), load=load, metrics=metrics, control=True).only()
    serving = entry.model
    with pytest.raises(InvalidModel):
        await entry.load()
    assert entry.model is serving
    assert await answered(serving, 3)
    assert observed_rows(metrics) == 3


async def test_metrics_are_those_of_the_last_loaded_model() -> None:
    metrics = Metrics()
    plane = plane_of(loaded(), metrics=metrics, control=True)
    await plane.only().load()
    assert await answered(plane.only().model, 3)
    assert observed_rows(metrics) == 3


@pytest.mark.parametrize("changed", [{"version": "2"}, {"outputs": (Output("total"),)}, {"description": "new"}], ids=str)
async def test_changed_card_is_not_loaded(changed: dict[str, Any]) -> None:
    entry = plane_of(loaded(), load=lambda: loaded(replace(CARD, **changed)), control=True).only()
    serving = entry.model
    with pytest.raises(InvalidModel, match="the card of the model sum has changed; restart the function to serve it"):
        await entry.load()
    assert entry.model is serving


async def test_unchanged_card_with_nan_is_loaded() -> None:
    cards = [replace(CARD, evaluation={"auc": math.nan * one}) for one in (1, 1)]
    entry = plane_of(loaded(cards[0]), load=lambda: loaded(cards[1]), control=True).only()
    serving = entry.model
    await entry.load()
    assert entry.model is not serving


async def test_outputs_are_those_of_the_last_loaded_model() -> None:
    class Three(Sum):
        signature = Signature(2, kinds={"value": (), "margin": (3,)})

    entry = plane_of(loaded(), load=lambda: loaded(model=Three()), control=True).only()
    await entry.load()
    assert entry.outputs is entry.model.outputs


async def test_waiting_rows_are_limited_over_all_models() -> None:
    plane = plane_of(loaded(), loaded(replace(CARD, name="other")), limits=PredictionLimits(waiting_rows=10), control=True)
    first, second = plane.entry("sum").model, plane.entry("other").model
    waiting = asyncio.ensure_future(answered(first, 6))
    await asyncio.sleep(0)
    await plane.entry("sum").unload()
    assert plane.waiting_rows == 6  # they still wait
    with pytest.raises(Overloaded, match="queue full \\(6 rows\\)"):
        await answered(second, 5)
    assert await waiting
    assert plane.waiting_rows == 0
    assert await answered(second, 5)


async def answered(served: ServedModel, count: int) -> bool:
    (tensor,) = await served.infer(rows(count), served.outputs.default)
    return tensor.data == array("f", [3.0]) * count


def observed_rows(metrics: Metrics) -> int:
    (model,) = metrics.models.values()
    return sum(sample.rows for sample in model.samples.values())
