"""The signature of an artifact, and the form of its predictions: what a model runtime says, and the card is matched with."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from functions.runtime.contract.categories import Category

# What a model can be asked for. `value` is what it predicts by itself; `margin` is that before the link function; `contributions` are the
# Shapley values of the features and, last, the bias, which sum up to the margin; `leaf` is the leaf that the row falls into, tree by tree.
Kind = Literal["value", "margin", "contributions", "leaf"]
# What a value means; `label` is the number of a class, `value` is in the target's own unit (or a rank's or a hazard's).
Meaning = Literal["value", "probability", "label", "margin"]


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
