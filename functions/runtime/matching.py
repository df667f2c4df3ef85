"""A card against what its artifact says of itself; and the card of an artifact that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from functions.runtime.card import Artifact, Card, Input, Output
from functions.runtime.errors import InvalidModel
from functions.runtime.models import Signature

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
        if item is None or item.categories is None:
            raise InvalidModel(
                f"the input {item.name if item else feature} of the model {card.name} has no categories, its artifact {artifact} takes"
                f" {', '.join(known) if known else 'some'}; make it BYTES with its categories in the order of their codes."
            )
        if known is not None and known != item.categories:
            raise InvalidModel(
                f"the input {item.name} of the model {card.name} {_difference(item.categories, known)} of its artifact {artifact};"
                " mend its categories: their order is their codes."
            )


def card_from(signature: Signature, path: Path, runtime: str) -> Card:
    """The card of an artifact that has none: the name from the file, the inputs from the artifact, whose categories are all known."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", path.stem)[:_LONGEST_NAME].strip("-.") or "model"
    number = "FP64" if signature.typecode == "d" else "FP32"
    categories = signature.categorical
    inputs = tuple(
        Input(feature, "BYTES", categories=categories[feature]) if feature in categories else Input(feature, number)
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


def _names(signature: Signature) -> tuple[str, ...]:
    return signature.features or tuple(f"f{index}" for index in range(signature.width))


def _difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """The first one, by its code."""
    code, (mine, other) = next(item for item in enumerate(zip_longest(ours, theirs)) if item[1][0] != item[1][1])
    told = ["no category" if category is None else repr(category) for category in (mine, other)]
    return f"has {told[0]} for the code {code}, where there is {told[1]} in the order"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
