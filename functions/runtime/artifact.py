"""From a path to a model that can be trusted: find the card, check the digest, load, hold the signature against the card."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from functions.runtime import card as cards
from functions.runtime.card import Artifact, Card, Input, Output
from functions.runtime.encoding import Encoder, Transform
from functions.runtime.errors import InvalidModel
from functions.runtime.models import Model, Runtime, Signature, runtime

CARD_NAME = "model.yaml"
SUFFIXES = (".json", ".ubj")
# A model of a gigabyte loads in seconds; one whose trees lead in a circle never predicts.
_TRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model whose card, artifact and signature agree. `again()` loads another copy, for another thread."""

    card: Card
    encoder: Encoder
    model: Model
    runtime: Runtime
    path: Path

    def again(self, threads: int) -> Model:
        return self.runtime.load(self.path, threads=threads)


def load(path: Path) -> Loaded:
    """Load a folder with a card, a card, or a bare XGBoost artifact (JSON or UBJ). Raises InvalidModel."""
    card_path = _card_of(path)
    if card_path is None:
        return _load_bare(path)
    card = cards.load(card_path)
    artifact = card_path.parent / card.artifact.uri
    check_digest(artifact, card.artifact.sha256)
    if card.artifact.sha256 is None:
        _try(card.runtime, artifact)
    kind = runtime(card.runtime)
    model = kind.load(artifact, threads=1)
    features = match_features(card, model.signature, artifact)
    return Loaded(card, Encoder(card, features, _transform(card)), model, kind, artifact)


def check_digest(path: Path, sha256: str | None) -> None:
    """No library reads bytes that are not those that the card promises."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidModel(f"cannot read the model artifact {path}: {error.strerror}; train the model, or mend artifact.uri.") from None
    if sha256 is not None and found != sha256:
        raise InvalidModel(
            f"the artifact {path} has the sha256 {found[:12]}…, its card promises {sha256[:12]}…;"
            " train again, or put the artifact back that the card describes."
        )


def match_features(card: Card, signature: Signature, artifact: Path) -> Sequence[str]:
    """The features in the artifact's order. Raises InvalidModel when card and artifact do not mean the same ones."""
    if signature.features:
        wanted, named = set(signature.features), set(card.columns)
        if wanted != named:
            parts = [
                f"it needs {_listed(wanted - named)}, which the card does not name" if wanted - named else "",
                f"the card names {_listed(named - wanted)}, which it does not take" if named - wanted else "",
            ]
            raise InvalidModel(
                f"the artifact {artifact} is not the card's: {'; '.join(filter(None, parts))}; train again or mend {CARD_NAME}."
            )
        return signature.features
    if signature.width != len(card.columns):
        raise InvalidModel(
            f"the artifact {artifact} takes {signature.width} features, its card names {len(card.columns)}; mend {CARD_NAME}."
        )
    return card.columns


def _card_of(path: Path) -> Path | None:
    if not path.exists():
        raise InvalidModel(
            f"there is no model at {path}; name a folder with a {CARD_NAME}, a {CARD_NAME}, or an XGBoost file (.json, .ubj)."
        )
    if path.is_dir():
        return path / CARD_NAME
    if path.suffix in (".yaml", ".yml"):
        return path
    beside = path.parent / CARD_NAME
    if beside.exists() and cards.load(beside).artifact.uri == path.name:
        return beside
    return None


def _load_bare(path: Path) -> Loaded:
    if path.suffix not in SUFFIXES:
        raise InvalidModel(f"{path} is neither a card (.yaml) nor an XGBoost model (.json, .ubj); save the model by Booster.save_model.")
    _try("xgboost", path)
    kind = runtime("xgboost")
    model = kind.load(path, threads=1)
    if model.signature.categorical:
        raise InvalidModel(
            f"{path} takes categories as codes ({', '.join(model.signature.categorical)}); write a {CARD_NAME} beside it"
            " with their categories in the order of the codes."
        )
    card = card_from(model.signature, path)
    return Loaded(card, Encoder(card, card.columns, nulls=True), model, kind, path)


def _try(name: str, path: Path) -> None:
    """Have a child load the artifact first: no digest vouches for it, and a library may die of damaged bytes without a word."""
    import signal  # both here, since a start with a digest does not need them
    import subprocess

    command = [sys.executable, "-m", "functions.runtime.models.try_load", name, str(path)]
    try:
        status = subprocess.run(command, capture_output=True, timeout=_TRY_SECONDS).returncode  # noqa: S603
    except subprocess.TimeoutExpired:
        raise InvalidModel(f"the artifact {path} has not predicted after {_TRY_SECONDS:g} s; save the model again.") from None
    if status < 0:
        raise InvalidModel(
            f"the artifact {path} is damaged: {name} died of it ({signal.Signals(-status).name}); save the model again, or copy it again."
        )


def card_from(signature: Signature, path: Path) -> Card:
    """The card of an artifact that has none: the name from the file, the inputs from the artifact."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", path.stem).strip("-.") or "model"
    features = signature.features or tuple(f"f{index}" for index in range(signature.width))
    return Card(
        name=name,
        inputs=tuple(Input(name=feature, datatype="FP32") for feature in features),
        outputs=(Output(name="predict", description=signature.objective),),
        artifact=Artifact(uri=path.name),
        features=features,
    )


def _transform(card: Card) -> Transform | None:
    if card.transform is None:
        for item in card.inputs:
            if item.datatype == "BYTES" and item.categories is None:
                raise InvalidModel(
                    f"the input {item.name} of {card.name} is free text, which no tree splits on; give it categories or a transform."
                )
        return None
    try:
        return cast("Transform", importlib.import_module(card.transform).transform)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two for what is no module's name
        raise InvalidModel(
            f"the transform {card.transform} of the model {card.name} cannot be imported: {error}; run from its project."
        ) from None


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
