from __future__ import annotations

from array import array

import pytest

from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.outputs import OutputTensor, resolve
from functions.runtime.contract.signature import Signature
from functions.runtime.errors import InvalidInput
from functions.runtime.protocols import v1

CARD = Card("little", (Input("a", "FP32"), Input("b", "FP32")), (Output("y"),), Artifact("none"))


def tensor(*shape: int) -> OutputTensor:
    count = 1
    for size in shape:
        count *= size
    return OutputTensor("contributions", "FP32", shape, array("f", range(count)))


def test_explanation_names_the_features() -> None:
    assert v1.explanations(v1.explained_columns(CARD), [tensor(2, 3)]) == {
        "explanations": [{"a": 0.0, "b": 1.0, "bias": 2.0}, {"a": 3.0, "b": 4.0, "bias": 5.0}]
    }


def test_explanation_of_several_classes_is_a_list() -> None:
    assert v1.explanations(v1.explained_columns(CARD), [tensor(1, 2, 3)]) == {
        "explanations": [[{"a": 0.0, "b": 1.0, "bias": 2.0}, {"a": 3.0, "b": 4.0, "bias": 5.0}]]
    }


def test_bias_is_distinct_from_a_feature_of_that_name() -> None:
    card = Card("little", (Input("bias", "FP32"),), (Output("y"),), Artifact("none"))
    assert v1.explained_columns(card) == ("bias", "(bias)")


def test_model_without_contributions_cannot_explain() -> None:
    with pytest.raises(InvalidInput, match="cannot explain its predictions"):
        v1.explained(resolve(CARD, Signature(2)))
