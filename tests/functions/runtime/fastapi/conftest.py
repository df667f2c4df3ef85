from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

LOANS = Card(
    "loans",
    (
        Input("age", "UINT8", minimum=18, description="In years."),
        Input("income (EUR)", "FP32", optional=True, minimum=0),
        Input("sector", "BYTES", categories=("private", "public")),
        Input("member", "BOOL"),
    ),
    (Output("default", meaning="probability", description="Of default."), Output("decision", meaning="label", classes=("no", "yes"))),
    Artifact("model.ubj"),
    version="2",
    example={"age": 40, "sector": "public", "member": True},
)
PRICE = Card("price", (Input("area", "FP32"), Input("rooms", "FP32")), (Output("price"),), Artifact("model.ubj"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`loans`, with inputs and outputs of several kinds, and `price`, with two numeric inputs and one output."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(7)
    for card, objective in ((LOANS, "binary:logistic"), (PRICE, "reg:squarederror")):
        rows = random.random((200, len(card.inputs)), dtype=np.float32)
        labels = (rows[:, 0] > rows[:, 1]).astype(int)
        data = xgb.DMatrix(rows, labels, feature_names=[item.name for item in card.inputs])
        (folder / card.name).mkdir()
        xgb.train({"objective": objective, "max_depth": 3}, data, 5).save_model(folder / card.name / card.artifact.uri)
        (folder / card.name / "model.yaml").write_text(dump(card), "utf-8")
    return folder
