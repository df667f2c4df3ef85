from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.runtime.artifact import Loaded
from functions.runtime.card import Artifact, Card, Input, Output
from functions.runtime.dataplane import DataPlane, Limits, Slot
from functions.runtime.encoding import Encoder, Rows, Transform
from functions.runtime.errors import InvalidInput, InvalidModel, NotAllowed, NotReady, TooLarge, UnknownModel
from functions.runtime.models import Kind, Prediction, Signature
from functions.runtime.observing.metrics import Metrics
from functions.runtime.outputs import resolve

CARD = Card("sum", (Input("a", "FP32"), Input("b", "FP32")), (Output("sum"),), Artifact("none"))


class Sum:
    signature = Signature(2, kinds={"value": (), "margin": ()})

    def __init__(self) -> None:
        self.kinds: list[Kind] = []

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.kinds.append(kind)
        return Prediction(array("f", [values[2 * row] + values[2 * row + 1] for row in range(rows)]), ())


class TwoValues(Sum):
    """It gives more than its signature says."""

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", [0.0] * 2 * rows), (2,))


def loaded(card: Card = CARD, model: Sum | None = None, transform: Transform | None = None) -> Loaded:
    model = model or Sum()
    encoder = Encoder(card, card.columns, transform)
    return Loaded(card, encoder, model, resolve(card, model.signature), Path("none"))


def plane_of(*models: Loaded, load: Callable[[], Loaded] = loaded, **options: Any) -> DataPlane:
    return DataPlane([(model, load) for model in models], Metrics(), **options)


def rows(count: int) -> Rows:
    return Rows(array("f", [1.0, 2.0]) * count, count)


async def test_each_kind_of_prediction_is_asked_for_once() -> None:
    model = Sum()
    card = replace(CARD, outputs=(Output("sum"), Output("again"), Output("raw", meaning="margin")))
    served = plane_of(loaded(card, model)).only().model
    model.kinds.clear()
    answered = await served.infer(rows(2), served.outputs.default)
    assert [(tensor.name, tensor.data.tolist() if isinstance(tensor.data, array) else None) for tensor in answered] == [
        ("sum", [3.0, 3.0]),
        ("again", [3.0, 3.0]),
        ("raw", [3.0, 3.0]),
    ]
    assert sorted(model.kinds) == ["margin", "value"]


async def test_a_request_has_rows_and_not_too_many() -> None:
    served = plane_of(loaded(), limits=Limits(request_rows=10)).only().model
    with pytest.raises(InvalidInput, match="has no rows"):
        await served.infer(rows(0), served.outputs.default)
    with pytest.raises(TooLarge, match="has 11 rows; at most 10 fit"):
        await served.infer(rows(11), served.outputs.default)


def test_the_newest_version_answers_when_none_is_named() -> None:
    plane = plane_of(*(loaded(replace(CARD, version=version)) for version in ("v9", "v10", "v2")), loaded(replace(CARD, name="other")))
    assert plane.names == ["sum", "other"]
    assert plane.versions("sum") == ["v2", "v9", "v10"]
    assert plane.slot("sum").version == "v10"
    assert plane.slot("sum", "v2").version == "v2"
    assert plane.slot("other").version is None
    with pytest.raises(UnknownModel, match="no version 'v3' here; this function serves v2, v9, v10"):
        plane.slot("sum", "v3")
    with pytest.raises(UnknownModel, match="there is no model 'x' here; this function serves sum, other"):
        plane.slot("x")
    with pytest.raises(UnknownModel, match="send the event to /models/"):
        plane.only()


def test_an_example_that_the_card_itself_refuses_stops_the_start() -> None:
    with pytest.raises(InvalidModel, match="the example of the model sum is no valid row: the input b is missing"):
        plane_of(loaded(replace(CARD, example={"a": 1.0})))


def test_a_model_that_gives_something_else_than_it_says_never_gets_ready() -> None:
    with pytest.raises(InvalidModel, match=r"the model sum predicts 2 values for a row; its signature says the shape \[\]"):
        plane_of(loaded(model=TwoValues()))


def test_a_transform_that_leaves_out_a_feature_stops_the_start() -> None:
    card = replace(CARD, features=("a", "c"), transform="mine", example={"a": 1.0, "b": 2.0})
    with pytest.raises(InvalidModel, match="the transform mine makes no feature 'c'"):
        plane_of(loaded(card, transform=lambda record: dict(record)))


async def test_a_model_is_unloaded_and_loaded_by_those_who_may() -> None:
    with pytest.raises(NotAllowed, match="TIDEGATE_MODEL_CONTROL=true"):
        plane_of(loaded()).controlled("sum")
    plane = plane_of(loaded(), control=True)
    (slot,) = plane.controlled("sum")
    serving = slot.model
    slot.unload()
    with pytest.raises(NotReady, match="the model sum is not loaded: it was unloaded"):
        slot.check_ready()
    assert len(await serving.infer(rows(1), serving.outputs.default)) == 1  # who had it already is answered
    await slot.load()
    assert slot.model is not serving


async def test_a_model_that_cannot_be_loaded_again_goes_on_serving() -> None:
    def fail() -> Loaded:
        raise InvalidModel("the artifact is gone.")

    slot: Slot = plane_of(loaded(), load=fail, control=True).only()
    with pytest.raises(InvalidModel):
        await slot.load()
    assert slot.ready
