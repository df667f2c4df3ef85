"""A version with a fault that no probe, latency or error shows: features are exchanged when it is served."""

from __future__ import annotations

from pathlib import Path

import xgboost as xgb

from functions.flights.train import CONTRACT
from functions.flights.transform import CATEGORIES
from functions.runtime.contract import card as cards
from training.importance import shares_of_gain
from training.publishing import publish

FAULTY = "v3"
EXCHANGED = {"temp": "precip", "humid": "pressure"}


def exchange(source: Path, folder: Path) -> Path:
    """Write the model of one folder into another one, as if its columns had been named in the wrong order.

    The trees are the same. Artifact and card agree with each other, so that the model loads; it takes each feature of
    EXCHANGED for the other one. Its card has the evaluation of the model that it was made from. Returns the folder.
    """
    card = cards.load(source / "model.yaml")
    booster = xgb.Booster(model_file=source / "model.ubj")
    other = EXCHANGED | {second: first for first, second in EXCHANGED.items()}
    names = [other.get(name, name) for name in booster.feature_names or ()]
    booster.feature_names = names
    publish(
        folder,
        bytes(booster.save_raw("ubj")),
        contract=CONTRACT,
        version=FAULTY,
        features=names,
        categories=CATEGORIES,
        evaluation=card.evaluation or {},
        importance=shares_of_gain(booster),
    )
    return folder
