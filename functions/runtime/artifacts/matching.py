"""The match of a card with the signature of its artifact, and the card of an artifact that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.categories import Category, are_same, datatype_of, text_of
from functions.runtime.contract.checks import some
from functions.runtime.contract.datatypes import WHOLE
from functions.runtime.contract.signature import Signature
from functions.runtime.errors import InvalidModel

_LONGEST_NAME = 120


def match_features(card: Card, signature: Signature, artifact: Path) -> Sequence[str]:
    """The features in the artifact's order. Raises InvalidModel when card and artifact have different ones."""
    if not signature.features:
        if signature.width != len(card.columns):
            raise InvalidModel(
                f"the artifact {artifact} takes {signature.width} features, its card has {len(card.columns)}",
                remedy="train again, or fix the card",
            )
        return card.columns
    expected, given = set(signature.features), set(card.columns)
    if expected != given:
        parts = [
            f"it needs {_listed(expected - given)}, which the card does not have" if expected - given else "",
            f"the card has {_listed(given - expected)}, which it does not take" if given - expected else "",
        ]
        raise InvalidModel(
            f"the artifact {artifact} does not match its card: {', and '.join(filter(None, parts))}", remedy="train again, or fix the card"
        )
    return signature.features


def match_categories(card: Card, features: Sequence[str], signature: Signature, artifact: Path) -> None:
    """Raise InvalidModel when a code would mean different categories to card and artifact.

    `features` are the card's in the artifact's order. With a transform, the codes are the transform's business.
    """
    if card.transform is not None:
        return
    inputs = {item.name: item for item in card.inputs}
    names = dict(zip(_names(signature), features, strict=False))
    for feature, known in signature.categorical.items():
        item = inputs.get(names.get(feature, feature))
        if item is None:
            raise InvalidModel(
                f"the artifact {artifact} takes the feature {feature} as codes, but the card of {card.name} has no such input",
                remedy="add it, or train without the feature",
            )
        if known is None:
            _match_codes(card, item, signature.largest_codes.get(feature, -1), artifact)
        elif item.categories is None:
            raise InvalidModel(
                f"the input {item.name} of the model {card.name} has no categories, but its artifact {artifact} takes {_shown(known)}",
                remedy=f"make it {datatype_of(known)} with its categories in the order of their codes",
            )
        elif len(known) != len(item.categories) or not all(map(are_same, item.categories, known)):
            raise InvalidModel(
                f"the input {item.name} of the model {card.name} {_difference(item.categories, known)} of its artifact {artifact}",
                remedy="correct its categories: their order is their codes",
            )


def _match_codes(card: Card, item: Input, largest: int, artifact: Path) -> None:
    """Match an input whose artifact knows codes only: the card has the categories, or callers send the codes."""
    if item.categories is None and item.datatype not in WHOLE:
        raise InvalidModel(
            f"the input {item.name} of the model {card.name} has no categories, but its artifact {artifact} takes codes",
            remedy="make it BYTES with its categories in the order of their codes, or INT64 where callers send the codes themselves",
        )
    if item.categories is not None and len(item.categories) <= largest:
        raise InvalidModel(
            f"the input {item.name} of the model {card.name} has {len(item.categories)} categories, its artifact {artifact} has codes up"
            f" to {largest}",
            remedy="name the category of every code from 0, or make it INT64 without categories, where the numbers are the codes",
        )


def card_from(signature: Signature, path: Path, runtime: str) -> Card:
    """Make the card of an artifact that has none: the name from the file, the inputs from the signature.

    The categories of the signature must all be known.
    """
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", path.stem)[:_LONGEST_NAME].strip("-.") or "model"
    number = "FP64" if signature.typecode == "d" else "FP32"
    categories = signature.categorical
    inputs = tuple(
        _categorical_input(feature, categories[feature] or ()) if feature in categories else Input(feature, number)
        for feature in _names(signature)
    )
    return Card(
        name=name,
        inputs=inputs,
        outputs=(Output("predict", description=signature.objective),),
        artifact=Artifact(path.name),
        runtime=runtime,
        features=tuple(item.name for item in inputs),
    )


def _categorical_input(name: str, categories: tuple[Category, ...]) -> Input:
    """An input with these categories; those of several types are sent as strings."""
    datatype = datatype_of(categories)
    return Input(name, datatype, categories=tuple(map(text_of, categories)) if datatype == "BYTES" else categories)


def _names(signature: Signature) -> tuple[str, ...]:
    return signature.features or tuple(f"f{index}" for index in range(signature.width))


def _difference(card: Sequence[Category], artifact: Sequence[Category]) -> str:
    """The first difference, by its code."""
    pairs = enumerate(zip_longest(card, artifact))
    code, pair = next(item for item in pairs if None in item[1] or not are_same(*item[1]))
    ours, theirs = ("no category" if category is None else repr(category) for category in pair)
    return f"has {ours} for the code {code}, where there is {theirs} in the order"


def _shown(categories: Sequence[Category]) -> str:
    return some(list(map(text_of, categories))) or "none"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
