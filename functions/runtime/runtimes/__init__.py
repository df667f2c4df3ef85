"""A runtime loads an artifact and predicts: one short module each, found by the card's `runtime`."""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

from functions.runtime.contract.categories import Category
from functions.runtime.errors import InvalidModel

# What a model can be asked for. `value` is what it predicts by itself; `margin` is that before the link function; `contributions` are the
# Shapley values of the features and, last, the bias, which sum up to the margin; `leaf` is the leaf that the row falls into, tree by tree.
Kind = Literal["value", "margin", "contributions", "leaf"]
# What a value means; `label` is the number of a class, `value` is in the target's own unit (or a rank's or a hazard's).
Meaning = Literal["value", "probability", "label", "margin"]
BUILT_IN = ("xgboost", "lightgbm")


@dataclass(frozen=True, slots=True)
class Signature:
    """What an artifact says of itself.

    `features` is empty when it carries no names. `categorical` are the features that it takes as codes; the value is the category of each
    code (strings, numbers or booleans), or None when the artifact does not know them. `largest_codes` has the largest code that a feature
    had in training, where the artifact tells. `classes` is the number of probabilities that decide one label: k for k classes,
    1 for two, of which only the second's is told, 0 when it knows no classes. `kinds` are those that it can be asked for, with the shape of
    a row's answer. `typecode` is the precision of the rows that it takes, as `array` has it: "f" or "d"; with `doubles` it takes "d" as
    well as "f", for the same predictions.
    """

    width: int
    features: tuple[str, ...] = ()
    categorical: Mapping[str, tuple[Category, ...] | None] = field(default_factory=dict)
    objective: str = ""
    meaning: Meaning = "value"
    classes: int = 0
    kinds: Mapping[Kind, tuple[int, ...]] = field(default_factory=lambda: {"value": ()})
    typecode: str = "f"
    doubles: bool = False
    largest_codes: Mapping[str, int] = field(default_factory=dict)


class Prediction(NamedTuple):
    """`values` of all rows, row-major, as an array of "f", "d" or "i"; `shape` is that of one row's: () for one value, (3,) for three."""

    values: array[Any]
    shape: tuple[int, ...]


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
