"""From a path to models that can be trusted: find the cards, check the digests, load, hold the signatures against the cards."""

from __future__ import annotations

import hashlib
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from common.errors import TidegateError
from functions.runtime.artifacts import modules
from functions.runtime.artifacts.fetching import BESIDE, Policy, locate, read
from functions.runtime.artifacts.matching import card_from, match_categories, match_features
from functions.runtime.contract import card as cards
from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder, Transform
from functions.runtime.contract.outputs import Outputs, resolve
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import BUILT_IN, BuiltIn, Model, formats, runtime

log = logging.getLogger("tidegate.artifact")

CARD_NAME = "model.yaml"
# A model of a gigabyte loads in seconds; one whose trees lead in a circle never predicts.
_TRY_SECONDS = 60.0
# What to do about a user's own code.
_MEND = "run from its project, or mend it (the log tells where at the level debug)"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model whose card, artifact and signature agree.

    `source` is what to `load` to have all of it anew.
    """

    card: Card
    encoder: Encoder
    model: Model
    outputs: Outputs
    source: Path


def load(path: Path, policy: Policy = BESIDE) -> Loaded:
    """Load a folder with a card, a card, or a bare artifact (XGBoost's JSON or UBJ, LightGBM's text). Raises InvalidModel."""
    card_path = _card_of(path)
    return _load_bare(path) if card_path is None else _load_carded(cards.load(card_path), card_path, policy)


def load_all(path: Path, policy: Policy = BESIDE) -> list[Loaded]:
    """The models of a folder that has no card, but folders that have one, by their names; or else the one that `load` finds."""
    if not path.is_dir() or (path / CARD_NAME).exists():
        return [load(path, policy)]
    found = [(folder, cards.load(folder / CARD_NAME)) for folder in folders_with_cards(path)]
    if not found:
        raise InvalidModel(f"there is no {CARD_NAME} in {path}, nor in a folder in it; train a model first, or name another folder.")
    taken: dict[tuple[str, str | None], Path] = {}
    for folder, card in found:
        other = taken.setdefault((card.name, card.version), folder)
        if other != folder:
            called = f"{card.name} {card.version}" if card.version else f"{card.name}, without a version"
            raise InvalidModel(f"{other} and {folder} are both the model {called}; give one another version, or move it away.")
    return [_load_carded(card, folder / CARD_NAME, policy) for folder, card in found]


def folders_with_cards(path: Path) -> Iterator[Path]:
    """The folders in `path` that have a card, by name; hidden ones are skipped. Raises InvalidModel."""
    try:
        # A mounted volume has hidden folders with a second copy of everything.
        folders = sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))
    except OSError as error:
        raise InvalidModel(f"cannot read the folder {path}: {error.strerror}; let this user read it, or name another.") from None
    for folder in folders:
        if (folder / CARD_NAME).exists():
            yield folder
        else:
            log.info("%s has no %s and is passed over", folder, CARD_NAME)


def _card_of(path: Path) -> Path | None:
    if not path.exists():
        raise InvalidModel(
            f"there is no model at {path}; name a folder with a {CARD_NAME}, a {CARD_NAME}, or a file by Booster.save_model."
        )
    if path.is_dir():
        return path / CARD_NAME
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    beside = path.parent / CARD_NAME
    if beside.exists() and cards.load(beside).artifact.uri == path.name:
        return beside
    return None


def _load_carded(card: Card, source: Path, policy: Policy) -> Loaded:
    if card.transform or card.runtime not in BUILT_IN:
        modules.search()
    path, model = _load_artifact(card, source.parent, policy)
    signature = model.signature
    features = match_features(card, signature, path)
    match_categories(card, features, signature, path)
    encoder = Encoder(card, features, _transform(card), typecode=signature.typecode, doubles=signature.doubles)
    return Loaded(card, encoder, model, resolve(card, signature), source)


def _load_bare(path: Path) -> Loaded:
    data = formats.read_bytes(path)
    name = formats.runtime_of(data, path)
    model = _load_unvouched(name, path, data)
    unknown = [feature for feature, categories in model.signature.categorical.items() if categories is None]
    if unknown:
        raise InvalidModel(
            f"{path} takes categories as codes ({', '.join(unknown)}); write a {CARD_NAME} beside it"
            " with their categories in the order of the codes, or with the datatype INT64 where callers send the codes themselves."
        )
    card = card_from(model.signature, path, name)
    encoder = Encoder(card, card.columns, nulls=True, typecode=model.signature.typecode, doubles=model.signature.doubles)
    return Loaded(card, encoder, model, resolve(card, model.signature), path)


def _load_artifact(card: Card, folder: Path, policy: Policy) -> tuple[Path, Model]:
    """The bytes of a runtime of ours are read once. One of a user's reads the file itself, which may be large or have others beside it."""
    if card.runtime in BUILT_IN:
        path, data = read(card.artifact, folder, policy)
        found = formats.runtime_of(data, path)
        if found != card.runtime:
            raise InvalidModel(
                f"{path} is a model of {found}, its card {card.name} has the runtime {card.runtime}; write runtime: {found}."
            )
        vouched = card.artifact.sha256 is not None
        return path, _load(card.runtime, path, data) if vouched else _load_unvouched(card.runtime, path, data)
    path = locate(card.artifact, folder, policy)
    return path, _load(card.runtime, path) if card.artifact.sha256 is not None else _load_unvouched(card.runtime, path)


def _load_unvouched(name: str, path: Path, data: bytes | None = None) -> Model:
    """What no digest vouches for is checked and tried by a child, which confirms that it has read the same bytes."""
    digest = _digest(path) if data is None else hashlib.sha256(data).hexdigest()
    _try(name, path, digest)
    model = _load(name, path, data)
    if data is None and _digest(path) != digest:
        raise InvalidModel(f"the artifact {path} has changed while it was loaded; start again.")
    log.warning(
        "no digest vouches for the artifact %s: its structure was checked, but another number in it would not be noticed;"
        " write artifact.sha256 into its card: %s",
        path,
        digest,
    )
    return model


def _load(name: str, path: Path, data: bytes | None = None) -> Model:
    with _one_sentence(f"the runtime {name} cannot load {path}"):
        found = runtime(name)
        model = found.load(path) if data is None else cast("BuiltIn", found).load(path, data)
        _ = model.signature.features  # a runtime of a user's may have forgotten it
        return model


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _try(name: str, path: Path, digest: str) -> None:
    """Have a child load the artifact first: no digest vouches for it, and a library may die of damaged bytes without a word."""
    import signal  # both here, since a start with a digest does not need them
    import subprocess

    command = [sys.executable, "-P", "-m", "functions.runtime.runtimes.try_load", name, str(path), digest]
    try:
        done = subprocess.run(command, env=modules.environment(), capture_output=True, timeout=_TRY_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise InvalidModel(f"the artifact {path} has not predicted after {_TRY_SECONDS:g} s; save the model again.") from None
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        raise formats.damaged(path, f"{name} died of it ({died})")
    if done.returncode > 0:
        told = done.stderr.decode(errors="replace").strip()
        log.debug("%s", told)
        last = told.rpartition("\n")[2] or f"status {done.returncode}"
        # A sentence, or the end of a traceback through a user's own runtime.
        raise InvalidModel(last if last.endswith(".") else f"the runtime {name} cannot load {path}: {last}; {_MEND}.")


def _transform(card: Card) -> Transform | None:
    if card.transform is None:
        for item in card.inputs:
            if item.datatype == "BYTES" and item.categories is None:
                raise InvalidModel(
                    f"the input {item.name} of {card.name} is free text, which no tree splits on; give it categories or a transform."
                )
        return None
    with _one_sentence(f"the transform {card.transform} of the model {card.name} cannot be imported"):
        return cast("Transform", importlib.import_module(card.transform).transform)


@contextmanager
def _one_sentence(what: str) -> Iterator[None]:
    """For a user's own code, which may raise anything; where it did is in the log."""
    try:
        yield
    except TidegateError:
        raise
    except Exception as error:
        log.debug("%s", what, exc_info=True)
        said = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split())[:300])))
        raise InvalidModel(f"{what}: {said}; {_MEND}.") from None
