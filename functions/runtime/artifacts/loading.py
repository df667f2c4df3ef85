"""From a path to verified models: find the cards, check the digests, load, and match each signature with its card."""

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
from functions.runtime.artifacts.fetching import locate, read
from functions.runtime.artifacts.matching import card_from, match_categories, match_features
from functions.runtime.artifacts.policy import CARD_FOLDER_ONLY, Policy
from functions.runtime.contract import card as cards
from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder, Transform
from functions.runtime.contract.outputs import Outputs, resolve
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import BUILT_IN, BuiltIn, Model, formats, runtime

log = logging.getLogger("tidegate.artifact")

CARD_NAME = "model.yaml"
# A model of a gigabyte loads in seconds; one with a cycle in its trees never predicts.
_TRY_SECONDS = 60.0
# For errors in a user's own code.
_USER_CODE_REMEDY = "run from its project, or fix it (set TIDEGATE_LOG_LEVEL=debug for the traceback)"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model whose card, artifact and signature agree. `source` is the path that loads all of it again."""

    card: Card
    encoder: Encoder
    model: Model
    outputs: Outputs
    source: Path


def load(path: Path, policy: Policy = CARD_FOLDER_ONLY) -> Loaded:
    """Load a folder with a card, a card, or a bare artifact (XGBoost's JSON or UBJ, LightGBM's text).

    Raises InvalidModel.
    """
    card_path = _card_of(path)
    return _load_bare(path) if card_path is None else _load_carded(cards.load(card_path), card_path, policy)


def load_all(path: Path, policy: Policy = CARD_FOLDER_ONLY) -> list[Loaded]:
    """Load the models of a folder of models, sorted by subfolder; for any other path, the one model of `load`.

    The subfolders with a card are the models. Raises InvalidModel.
    """
    if not path.is_dir() or (path / CARD_NAME).exists():
        return [load(path, policy)]
    found = [(folder, cards.load(folder / CARD_NAME)) for folder in folders_with_cards(path)]
    if not found:
        raise InvalidModel(f"no {CARD_NAME} in {path} or its subfolders", remedy="train a model first, or name another folder")
    taken: dict[tuple[str, str | None], Path] = {}
    for folder, card in found:
        other = taken.setdefault((card.name, card.version), folder)
        if other != folder:
            called = f"{card.name} {card.version}" if card.version else f"{card.name}, without a version"
            raise InvalidModel(f"{other} and {folder} are both the model {called}", remedy="give one another version, or move it away")
    return [_load_carded(card, folder / CARD_NAME, policy) for folder, card in found]


def folders_with_cards(path: Path) -> Iterator[Path]:
    """The folders in `path` that have a card, by name; hidden ones are skipped. Raises InvalidModel."""
    try:
        # A mounted volume has hidden folders with a second copy of everything.
        folders = sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))
    except OSError as error:
        raise InvalidModel(
            f"cannot read the folder {path}: {error.strerror}", remedy="let this user read it, or name another folder"
        ) from None
    for folder in folders:
        if (folder / CARD_NAME).exists():
            yield folder
        else:
            log.info("skipping %s: it has no %s", folder, CARD_NAME)


def _card_of(path: Path) -> Path | None:
    """The path of the model's card; None for a bare artifact."""
    if not path.exists():
        raise InvalidModel(
            f"no model at {path}", remedy=f"name a folder with a {CARD_NAME}, a {CARD_NAME}, or a file by Booster.save_model"
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
    model = _load_without_digest(name, path, data)
    unknown = [feature for feature, categories in model.signature.categorical.items() if categories is None]
    if unknown:
        raise InvalidModel(
            f"{path} takes categories as codes ({', '.join(unknown)})",
            remedy=f"write a {CARD_NAME} beside it with their categories in the order of the codes, or with the datatype INT64"
            " where callers send the codes themselves",
        )
    card = card_from(model.signature, path, name)
    encoder = Encoder(card, card.columns, nulls=True, typecode=model.signature.typecode, doubles=model.signature.doubles)
    return Loaded(card, encoder, model, resolve(card, model.signature), path)


def _load_artifact(card: Card, folder: Path, policy: Policy) -> tuple[Path, Model]:
    """Load the artifact of a card.

    The file is read once for a built-in runtime. A user's runtime reads it itself: it may be large or have others
    beside it.
    """
    if card.runtime in BUILT_IN:
        path, data = read(card.artifact, folder, policy)
        found = formats.runtime_of(data, path)
        if found != card.runtime:
            raise InvalidModel(
                f"{path} is a model of {found}, but its card {card.name} has the runtime {card.runtime}", remedy=f"write runtime: {found}"
            )
        has_digest = card.artifact.sha256 is not None
        return path, _load(card.runtime, path, data) if has_digest else _load_without_digest(card.runtime, path, data)
    path = locate(card.artifact, folder, policy)
    return path, _load(card.runtime, path) if card.artifact.sha256 is not None else _load_without_digest(card.runtime, path)


def _load_without_digest(name: str, path: Path, data: bytes | None = None) -> Model:
    """Have a child process check and try the artifact first, and confirm that it has read the same bytes."""
    digest = _digest(path) if data is None else hashlib.sha256(data).hexdigest()
    _try(name, path, digest)
    model = _load(name, path, data)
    if data is None and _digest(path) != digest:
        raise InvalidModel(f"the artifact {path} changed while it was loaded", remedy="start again")
    log.warning(
        "the artifact %s has no digest: its structure was checked, but a changed number in it would go unnoticed;"
        " write artifact.sha256 into its card: %s",
        path,
        digest,
    )
    return model


def _load(name: str, path: Path, data: bytes | None = None) -> Model:
    with _user_code_errors(f"the runtime {name} cannot load {path}"):
        found = runtime(name)
        model = found.load(path) if data is None else cast("BuiltIn", found).load(path, data)
        _ = model.signature.features  # a user's runtime may have forgotten it
        return model


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _try(name: str, path: Path, digest: str) -> None:
    """Load an artifact without a digest in a child process: a library may crash on damaged bytes without an error."""
    import signal  # both here, since a start with a digest does not need them
    import subprocess

    command = [sys.executable, "-P", "-m", "functions.runtime.runtimes.try_load", name, str(path), digest]
    try:
        done = subprocess.run(command, env=modules.environment(), capture_output=True, timeout=_TRY_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise InvalidModel(f"the artifact {path} has not predicted after {_TRY_SECONDS:g} s", remedy="save the model again") from None
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        raise formats.damaged(path, f"{name} crashed on it ({died})")
    if done.returncode > 0:
        output = done.stderr.decode(errors="replace").strip()
        log.debug("%s", output)
        last = output.rpartition("\n")[2] or f"status {done.returncode}"
        if last.endswith("."):  # the sentence of an error
            raise InvalidModel(last)
        # The end of a traceback through a user's own runtime.
        raise InvalidModel(f"the runtime {name} cannot load {path}: {last}", remedy=_USER_CODE_REMEDY)


def _transform(card: Card) -> Transform | None:
    if card.transform is None:
        for item in card.inputs:
            if item.datatype == "BYTES" and item.categories is None:
                raise InvalidModel(
                    f"the input {item.name} of {card.name} is free text, which no tree splits on",
                    remedy="give it categories or a transform",
                )
        return None
    with _user_code_errors(f"the transform {card.transform} of the model {card.name} cannot be imported"):
        return cast("Transform", importlib.import_module(card.transform).transform)


@contextmanager
def _user_code_errors(what: str) -> Iterator[None]:
    """Turn any exception of a user's own code into InvalidModel; the traceback goes to the log."""
    try:
        yield
    except TidegateError:
        raise
    except Exception as error:
        log.debug("%s", what, exc_info=True)
        reason = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split())[:300])))
        raise InvalidModel(f"{what}: {reason}", remedy=_USER_CODE_REMEDY) from None
