"""Publication of a trained model: the artifact, and the card that describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from functions.runtime.contract.card import Card, dump, parse
from functions.runtime.contract.fields import InvalidField
from functions.runtime.errors import InvalidModel


def publish(
    folder: Path,
    artifact: bytes,
    *,
    contract: Path,
    version: str,
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]],
    evaluation: Mapping[str, Any],
    importance: Mapping[str, float] | None = None,
    file_name: str = "model.ubj",
) -> Path:
    """Write an artifact and its card `model.yaml` into a folder; return the card's path.

    `contract` is the part of the card that all versions share; `categories` are the categories of its inputs by name,
    in the order of their codes. Files appear complete, and the card last, since it vouches for the artifact beside it.
    Raises InvalidModel when the card would be invalid, before anything is written, and OSError.
    """
    trained = {
        "version": version,
        "artifact": {"uri": file_name, "sha256": hashlib.sha256(artifact).hexdigest()},
        "features": list(features),
        "evaluation": dict(evaluation),
        **({"importance": dict(importance)} if importance is not None else {}),
    }
    card = _card(contract, categories, trained)
    _write(folder / file_name, artifact)
    return _write(folder / "model.yaml", dump(card).encode())


def _card(contract: Path, categories: Mapping[str, Sequence[str]], trained: Mapping[str, Any]) -> Card:
    document = yaml.safe_load(contract.read_text("utf-8"))
    for item in document["inputs"]:
        if item["name"] in categories:
            item["categories"] = categories[item["name"]]
    try:
        return parse({**document, **trained})
    except InvalidField as error:
        raise InvalidModel(f"{contract} and the training make an invalid card: {error}.") from None


def _write(path: Path, content: bytes) -> Path:
    """Write a file by renaming, so that a reader never sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    return part.replace(path)
