"""A runtime loads an artifact and predicts: one short module each, found by the card's `runtime`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Signature:
    """What an artifact says of itself. `features` is empty when it carries no names; `categorical` are those that it takes as codes."""

    width: int
    features: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    objective: str = ""


class Model(Protocol):
    signature: Signature

    def predict(self, values: array[float], rows: int) -> array[float]:
        """Scores of `rows` rows of float32 features, row-major, NaN for missing; returns rows x k float32, row-major."""
        ...


class Runtime(Protocol):
    def load(self, path: Path, *, threads: int) -> Model:
        """A model of its own for each call, so that two threads can predict. Raises InvalidModel, naming the file."""
        ...


def runtime(name: str) -> Runtime:
    if name == "xgboost":
        from functions.runtime.models import xgboost

        return xgboost
    raise ValueError(f"no runtime is called {name!r}")
