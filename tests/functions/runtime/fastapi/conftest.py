from __future__ import annotations

from pathlib import Path

import pytest

from functions.runtime.contract.card import Artifact, Card, Input, Output
from tests.functions.runtime.cards import LOANS, write_model

PRICE = Card("price", (Input("area", "FP32"), Input("rooms", "FP32")), (Output("price"),), Artifact("model.ubj"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`loans`, with inputs and outputs of several kinds, and `price`, with two numeric inputs and one output."""
    folder = tmp_path_factory.mktemp("models")
    for card, objective in ((LOANS, "binary:logistic"), (PRICE, "reg:squarederror")):
        (folder / card.name).mkdir()
        write_model(card, folder / card.name, objective)
    return folder
