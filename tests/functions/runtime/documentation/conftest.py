from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Signature
from functions.runtime.documentation.model_spec import ModelSpec

# Inputs of every kind, without a transform, which could require more than the card.
CARD = Card(
    "loans",
    (
        Input("age", "UINT8", minimum=18, description="In years."),
        Input("income", "FP32", optional=True, minimum=0),
        Input("sector", "BYTES", categories=("private", "public")),
        Input("member", "BOOL"),
    ),
    (Output("default", meaning="probability", description="Of default."), Output("decision", meaning="label", classes=("no", "yes"))),
    Artifact("model.ubj"),
    version="2",
    example={"age": 40, "sector": "public", "member": True},
)


@pytest.fixture(scope="session")
def describe() -> Callable[..., ModelSpec]:
    """Make the specification of a model, with fields of its card."""

    def make(*, nulls: bool = False, **fields: Any) -> ModelSpec:
        card = replace(CARD, **fields)
        width = len(card.inputs)
        kinds: dict[Any, tuple[int, ...]] = {"value": (), "margin": (), "contributions": (width + 1,)}
        return ModelSpec(card, resolve(card, Signature(width, meaning="probability", classes=1, kinds=kinds)), nulls)

    return make


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card and a model trained for it."""
    folder = tmp_path_factory.mktemp("loans")
    random = np.random.default_rng(7)
    rows = random.random((200, 4), dtype=np.float32)
    labels = (rows[:, 0] > rows[:, 1]).astype(int)
    data = xgb.DMatrix(rows, labels, feature_names=[item.name for item in CARD.inputs])
    xgb.train({"objective": "binary:logistic", "max_depth": 3}, data, 5).save_model(folder / CARD.artifact.uri)
    (folder / "model.yaml").write_text(dump(CARD), "utf-8")
    return folder
