"""A runtime loads an artifact and predicts: one short module each, found by the card's `runtime`."""

from __future__ import annotations

import importlib
from array import array
from math import prod
from pathlib import Path
from typing import Protocol, cast

from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import InvalidModel

BUILT_IN = ("xgboost", "lightgbm")


class Model(Protocol):
    """It is called from several threads at the same time."""

    signature: Signature

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        """For `rows` rows of `signature.width` features in a precision that the signature says, row-major, NaN for missing."""
        ...


class Runtime(Protocol):
    def load(self, path: Path) -> Model:
        """Raises InvalidModel, naming the file."""
        ...


class BuiltIn(Protocol):
    """A runtime of ours, which takes the bytes of the file rather than reading it again."""

    def load(self, path: Path, data: bytes | None = None) -> Model:
        """Raises InvalidModel, naming the file."""
        ...

    def check(self, path: Path, data: bytes) -> None:
        """Look through a file that no digest vouches for. Raises InvalidModel when it contradicts itself."""
        ...


def runtime(name: str) -> Runtime:
    """A runtime of ours by its name, or yours by its module, such as `my_project.onnx_runtime`. Raises InvalidModel."""
    module = f"functions.runtime.runtimes.{name}" if name in BUILT_IN else name
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise InvalidModel(f"the runtime {name} cannot be imported: {error}; it is one of {', '.join(BUILT_IN)}, or a module.") from None
    if not callable(getattr(found, "load", None)):
        raise InvalidModel(f"the runtime {name} has no function load(path).")
    return cast("Runtime", found)


def ask(model: Model, values: array[float], rows: int, kind: Kind) -> Prediction:
    """Its prediction, held to what was promised: one of another size would be the numbers of somebody else's rows.

    Raises what the model raises, and RuntimeError for what cannot be the outcome of a future, such as StopIteration or SystemExit.
    """
    try:
        prediction = model.predict(values, rows, kind)
        count = len(prediction.values)
    except StopIteration as error:
        raise RuntimeError(f"the prediction ended with {error!r}.") from error
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"the prediction ended with {error!r}.") from error
    if count != rows * prod(prediction.shape):
        raise RuntimeError(f"the prediction of {rows} rows of the shape {list(prediction.shape)} has {count} values.")
    return prediction
