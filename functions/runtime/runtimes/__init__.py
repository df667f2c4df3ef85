"""Runtimes: each is a module, named by the card's `runtime`, that loads an artifact into a model that predicts."""

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
    """A loaded artifact. Several threads call it at the same time."""

    signature: Signature

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        """Predict `rows` rows of `signature.width` features.

        `values` are row-major, NaN for missing, in a precision of the signature.
        """
        ...


class Runtime(Protocol):
    """The module of a runtime, built in or a user's."""

    def load(self, path: Path) -> Model:
        """Load an artifact. Raises InvalidModel, naming the file."""
        ...


class BuiltIn(Protocol):
    """The module of a built-in runtime, which takes the bytes of the file rather than reading it again."""

    def load(self, path: Path, data: bytes | None = None) -> Model:
        """Load an artifact. Raises InvalidModel, naming the file."""
        ...

    def check(self, path: Path, data: bytes) -> None:
        """Check the structure of a file without a digest. Raises InvalidModel when it contradicts itself."""
        ...


def runtime(name: str) -> Runtime:
    """Import a built-in runtime by its name, or a user's by its module, such as `my_project.onnx_runtime`.

    Raises InvalidModel.
    """
    module = f"functions.runtime.runtimes.{name}" if name in BUILT_IN else name
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise InvalidModel(
            f"the runtime {name} cannot be imported: {error}", remedy=f"name one of {', '.join(BUILT_IN)}, or a module"
        ) from None
    if not callable(getattr(found, "load", None)):
        raise InvalidModel(f"the runtime {name} has no function load(path)", remedy="see docs/runtimes.md")
    return cast("Runtime", found)


def ask(model: Model, values: array[float], rows: int, kind: Kind) -> Prediction:
    """The model's prediction, its size checked: values of another number would be assigned to other callers' rows.

    Raises the model's exceptions, and RuntimeError in place of those that a future cannot hold, such as StopIteration
    or SystemExit.
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
