"""Cards of small models, and the models themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost as xgb

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

# Inputs of every kind, one of them with a name that no Python variable can have. Without a transform, which could
# require more than the card.
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


def write_model(card: Card, folder: Path, objective: str = "binary:logistic") -> None:
    """Write a card, and a model trained for it, into a folder."""
    rows = np.random.default_rng(7).random((200, len(card.inputs)), dtype=np.float32)
    labels = (rows[:, 0] > rows[:, 1]).astype(int)
    data = xgb.DMatrix(rows, labels, feature_names=[item.name for item in card.inputs])
    xgb.train({"objective": objective, "max_depth": 3}, data, 5).save_model(folder / card.artifact.uri)
    (folder / "model.yaml").write_text(dump(card), "utf-8")
