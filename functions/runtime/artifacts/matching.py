"""A card against what its artifact says of itself; and the card of an artifact that has none."""

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
    """The features in the artifact's order. Raises InvalidModel when card and artifact do not mean the same ones."""
    if not signature.features:
        if signature.width != len(card.columns):
            told = f"the artifact {artifact} takes {signature.width} features, its card names {len(card.columns)}"
            raise InvalidModel(f"{told}; train again, or mend the card.")
        return card.columns
    wanted, named = set(signature.features), set(card.columns)
    if wanted != named:
        parts = [
            f"it needs {_listed(wanted - named)}, which the card does not name" if wanted - named else "",
            f"the card names {_listed(named - wanted)}, which it does not take" if named - wanted else "",
        ]
        raise InvalidModel(f"the artifact {artifact} is not the card's: {'; '.join(filter(None, parts))}; train again, or mend the card.")
    return signature.features


def match_categories(card: Card, features: Sequence[str], signature: Signature, artifact: Path) -> None:
    """`features` are the card's in the artifact's order. Raises InvalidModel when a code would not mean the same category to both.

    Where a transform stands between, the codes are its business.
    """
    if card.transform is not None:
        return
    inputs = {item.name: item for item in card.inputs}
    ours = dict(zip(_names(signature), features, strict=False))
    for feature, known in signature.categorical.items():
        item = inputs.get(ours.get(feature, feature))
        if item is None:
            raise InvalidModel(f"the artifact {artifact} takes the feature {feature} as codes, which the model {card.name} does not have.")
        if known is None:
            _match_codes(card, item, signature.largest_codes.get(feature, -1), artifact)
        elif item.categories is None:
            raise InvalidModel(
                f"the input {item.name} of the model {card.name} has no categories, its artifact {artifact} takes {_shown(known)};"
                f" make it {datatype_of(known)} with its categories in the order of their codes."
            )
        elif len(known) != len(item.categories) or not all(map(are_same, item.categories, known)):
            raise InvalidModel(
                f"the input {item.name} of the model {card.name} {_difference(item.categories, known)} of its artifact {artifact};"
                " correct its categories: their order is their codes."
            )


def _match_codes(card: Card, item: Input, largest: int, artifact: Path) -> None:
    """Where the artifact knows codes alone, the card has their categories, or callers send the codes themselves."""
    if item.categories is None and item.datatype not in WHOLE:
        raise InvalidModel(
            f"the input {item.name} of the model {card.name} has no categories, its artifact {artifact} takes codes; make it BYTES"
            " with its categories in the order of their codes, or INT64 where callers send the codes themselves."
        )
    if item.categories is not None and len(item.categories) <= largest:
        raise InvalidModel(
            f"the input {item.name} of the model {card.name} has {len(item.categories)} categories, its artifact {artifact} knows codes up"
            f" to {largest}; name the category of every code from 0, or make it INT64 without categories, where the numbers are the codes."
        )


def card_from(signature: Signature, path: Path, runtime: str) -> Card:
    """The card of an artifact that has none: the name from the file, the inputs from the artifact, whose categories are all known."""
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
    """Categories of several types are sent as their texts."""
    datatype = datatype_of(categories)
    return Input(name, datatype, categories=tuple(map(text_of, categories)) if datatype == "BYTES" else categories)


def _names(signature: Signature) -> tuple[str, ...]:
    return signature.features or tuple(f"f{index}" for index in range(signature.width))


def _difference(ours: Sequence[Category], theirs: Sequence[Category]) -> str:
    """The first one, by its code."""
    pairs = enumerate(zip_longest(ours, theirs))
    code, (mine, other) = next(item for item in pairs if None in item[1] or not are_same(*item[1]))
    told = ["no category" if category is None else repr(category) for category in (mine, other)]
    return f"has {told[0]} for the code {code}, where there is {told[1]} in the order"


def _shown(categories: Sequence[Category]) -> str:
    return some(list(map(text_of, categories))) or "none"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
