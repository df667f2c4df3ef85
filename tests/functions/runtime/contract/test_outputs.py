from __future__ import annotations

import math
from array import array
from typing import Any

import pytest

from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.outputs import Outputs, resolve
from functions.runtime.contract.signature import Prediction, Signature
from functions.runtime.errors import InvalidInput, InvalidModel

BINARY = Signature(
    2, objective="binary:logistic", meaning="probability", classes=1, kinds={"value": (), "margin": (), "contributions": (3,), "leaf": (4,)}
)
MULTI = Signature(2, objective="multi:softprob", meaning="probability", classes=3, kinds={"value": (3,), "margin": (3,)})
SOFTMAX = Signature(2, objective="multi:softmax", meaning="label", kinds={"value": (), "margin": (3,)})
REGRESSION = Signature(2, objective="reg:squarederror", kinds={"value": ()}, typecode="d")


def outputs(signature: Signature, *served: Output) -> Outputs:
    card = Card("fruit", (Input("a", "FP32"), Input("b", "FP32")), served, Artifact("m"))
    return resolve(card, signature)


def data(found: Outputs, name: str, prediction: Prediction) -> Any:
    (output,) = found.select([name])
    width = 1
    for size in prediction.shape:
        width *= size
    tensor = output.tensor(prediction, len(prediction.values) // width)
    return tensor.datatype, tensor.shape, tensor.data if isinstance(tensor.data, list) else tensor.data.tolist()


def test_an_output_has_the_meaning_of_the_objective_by_default() -> None:
    assert [(item.name, item.meaning) for item in outputs(BINARY, Output("late")).default] == [("late", "probability")]
    assert [(item.name, item.meaning) for item in outputs(SOFTMAX, Output("kind")).default] == [("kind", "label")]


def test_additional_outputs_are_there_on_request_only() -> None:
    found = outputs(BINARY, Output("late"))
    assert [item.name for item in found.all] == ["late", "margin", "contributions", "leaf"]
    assert [item.name for item in found.default] == ["late"]
    assert [item.name for item in outputs(REGRESSION, Output("price")).all] == ["price"]
    taken = outputs(BINARY, Output("margin"), Output("why", meaning="contributions"))
    assert [(item.name, item.on_request) for item in taken.all] == [("margin", False), ("why", False), ("leaf", True)]


def test_a_label_of_two_classes_is_decided_by_the_threshold() -> None:
    values = Prediction(array("f", [0.2, 0.5, 0.7]), ())
    plain = outputs(BINARY, Output("late", meaning="label"))
    assert data(plain, "late", values) == ("INT32", (3,), [0, 0, 1])  # as in XGBClassifier: more than a half
    named = outputs(BINARY, Output("late", meaning="label", classes=("on time", "late"), threshold=0.1))
    assert data(named, "late", values) == ("BYTES", (3,), ["late", "late", "late"])


def test_a_label_of_several_classes_is_the_most_probable() -> None:
    values = Prediction(array("f", [0.2, 0.5, 0.3, 0.6, 0.1, 0.3]), (3,))
    found = outputs(MULTI, Output("kind", meaning="label", classes=("a", "b", "c")), Output("p"))
    assert data(found, "kind", values) == ("BYTES", (2,), ["b", "a"])
    assert data(found, "p", values)[:2] == ("FP32", (2, 3))
    assert data(outputs(SOFTMAX, Output("kind")), "kind", Prediction(array("f", [2.0, 0.0]), ())) == ("INT32", (2,), [2, 0])


def test_the_datatype_is_that_of_the_artifact_or_of_the_card() -> None:
    values = Prediction(array("d", [0.1]), ())
    assert data(outputs(REGRESSION, Output("price")), "price", values) == ("FP64", (1,), [0.1])
    assert data(outputs(REGRESSION, Output("price", "FP32")), "price", values) == ("FP32", (1,), [array("f", [0.1])[0]])


@pytest.mark.parametrize(
    ("signature", "output", "sentence"),
    [
        (REGRESSION, Output("p", meaning="probability"), "is a probability, but its artifact .reg:squarederror. predicts a value; fix"),
        (REGRESSION, Output("p", meaning="contributions"), "is a contributions, but"),
        (REGRESSION, Output("p", meaning="label"), "is a label, but"),
        (BINARY, Output("p", threshold=0.3), "has a threshold, but only a label is decided by one"),
        (BINARY, Output("p", "BYTES"), "has the datatype BYTES, but its values are FP32; fix"),
        (BINARY, Output("p", meaning="label", classes=("a", "b", "c")), "names 3 classes, its artifact has 2; name all classes"),
        (MULTI, Output("p", classes=("a", "b")), "names 2 classes, its artifact has 3"),
    ],
)
def test_an_output_that_the_artifact_does_not_support_is_refused(signature: Signature, output: Output, sentence: str) -> None:
    with pytest.raises(InvalidModel, match=sentence):
        outputs(signature, output)


def test_a_request_must_name_known_outputs() -> None:
    found = outputs(BINARY, Output("late"))
    assert [item.name for item in found.select(["leaf", "late"])] == ["leaf", "late"]
    with pytest.raises(InvalidInput, match="no output lat; its outputs are late, margin, contributions, leaf"):
        found.select(["lat"])
    with pytest.raises(InvalidInput, match="named twice"):
        found.select(["late", "late"])


@pytest.mark.parametrize(
    ("signature", "output", "values"),
    [
        (SOFTMAX, Output("y"), [math.nan]),
        (SOFTMAX, Output("y"), [3e9]),
        (SOFTMAX, Output("y", classes=("a", "b", "c")), [3.0]),
        (SOFTMAX, Output("y", classes=("a", "b", "c")), [-1.0]),
        (SOFTMAX, Output("y", classes=("a", "b", "c")), [math.nan]),
        (MULTI, Output("y", meaning="label"), [math.nan, 0.5, 0.5]),
        (REGRESSION, Output("y", "INT64"), [math.inf]),
    ],
)
def test_a_value_beyond_the_datatype_is_a_sentence(signature: Signature, output: Output, values: list[float]) -> None:
    with pytest.raises(InvalidModel, match=r"the model fruit predicts a number that its output y \(.*\) cannot hold, such as NaN"):
        data(outputs(signature, output), "y", Prediction(array("d", values), signature.kinds["value"]))
