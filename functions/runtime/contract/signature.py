"""The signature of an artifact, with which a card is matched, and the form of its predictions."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from functions.runtime.contract.categories import Category

# The kinds of prediction. `value` is the model's own prediction; `margin` is that before the link function;
# `contributions` are the Shapley values of the features and, last, the bias, which sum up to the margin; `leaf` is the
# leaf of the row in each tree.
Kind = Literal["value", "margin", "contributions", "leaf"]
# The meaning of a value; `label` is the number of a class, `value` is in the unit of the target (or a rank's or a
# hazard's).
Meaning = Literal["value", "probability", "label", "margin"]


@dataclass(frozen=True, slots=True)
class Signature:
    """An artifact's description of itself.

    `width` is the number of features; `features` are their names, empty when the artifact has none. `categorical` are
    the features that it takes as codes, each with the category of each code (strings, numbers or booleans), or None
    when the artifact does not know them. `largest_codes` has the largest code of a feature in training, where the
    artifact knows it. `classes` is the number of probabilities that decide one label: k for k classes, 1 for two (the
    second's), 0 without classes. `kinds` are the supported kinds of prediction, with the shape of a row of each.
    `typecode` is the precision of the rows that it takes, as of `array`: "f" or "d"; with `doubles` it takes "d" as
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
    """The predictions of several rows.

    `values` are those of all rows, row-major, in an array of "f", "d" or "i"; `shape` is that of one row: () for one
    value, (3,) for three.
    """

    values: array[Any]
    shape: tuple[int, ...]
