"""The trained models that the manifests name: present, readable, and with the digest in their card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from common.errors import TidegateError
from functions.runtime.artifacts.fetching import locate
from functions.runtime.artifacts.loading import CARD_NAME, folders_with_cards
from functions.runtime.artifacts.policy import Policy
from functions.runtime.contract import card as cards
from functions.runtime.contract.card import Card
from tidegate.doctor.accessors import Workload, environment, mappings, text, workloads
from tidegate.doctor.finding import Finding, Findings, Level, error, note, of_error, ok, warning
from tidegate.documents import Document, Object

_VARIABLE = "TIDEGATE_MODEL"
# `make train` writes its models here.
_TRAINED_HERE = "functions/flights/"


def check(documents: list[Document], root: Path, *, needed: bool = True) -> Findings[None]:
    """Check the models below `root`, the folder in which `tidegate up` starts processes and images are built.

    A cluster has its models in images. A model that is missing here is missing in the image too, unless the image is
    built elsewhere: `needed` is False, and the function is not in the project's folder.
    """
    for workload in workloads(documents):
        for container in workload.containers:
            named = environment(container).get(_VARIABLE)
            if named:
                built_here = (root / _function(named)).is_dir()
                yield from _check(workload, container, named, root, Level.ERROR if needed or built_here else Level.NOTE)


def _check(workload: Workload, container: Object, named: str, root: Path, absent: Level) -> Iterator[Finding]:
    subject = f"model of {workload.name.rpartition(' ')[2]}"
    path = root / named
    if not path.exists():
        if _is_mounted(named, container):
            yield note(subject, f"{named} is in a volume of the pod; `tidegate up` would not find it on this machine.")
        else:
            message = f"{named}, which {_VARIABLE} names in {workload.document.source}, does not exist."
            yield Finding(absent, subject, message, _remedy(named))
        return
    try:
        cards_found = _cards(path)
    except TidegateError as problem:
        yield of_error(subject, problem)
        return
    for source in cards_found:
        yield from _read(subject, named, source, environment(container))
    if not cards_found:
        found = ok(subject, f"{named}, an artifact without a card") if path.is_file() else None
        yield found or error(subject, f"{named} has no {CARD_NAME}, and neither has a folder in it.", _remedy(named))


def _read(subject: str, named: str, source: Path, environ: dict[str, str]) -> Iterator[Finding]:
    try:
        card = cards.load(source)
        if card.artifact.uri.partition("://")[0] not in (card.artifact.uri, "file"):
            yield note(subject, f"{_title(card)}: its artifact is fetched when the function starts, and is not inspected.")
            return
        locate(card.artifact, source.parent, Policy.from_env(environ))
    except TidegateError as problem:
        trained_here = named.startswith(_TRAINED_HERE)
        found = of_error(subject, problem)
        yield Finding(Level.ERROR, subject, found.message, "make train" if trained_here else found.remedy)
        return
    if card.artifact.sha256 is None:
        message = f"{_title(card)}: its card has no digest, so any artifact is accepted."
        yield warning(subject, message, f"add artifact.sha256 to {source}")
    else:
        yield ok(subject, f"{_title(card)}, {named}; its digest is the card's")


def _function(named: str) -> Path:
    """The folder `functions/<name>` whose image has the model."""
    return Path(*PurePosixPath(named).parts[:2])


def _cards(path: Path) -> list[Path]:
    """The cards that a model function would load from this path."""
    if path.suffix in (".yaml", ".yml"):
        return [path]
    if (path / CARD_NAME).exists():
        return [path / CARD_NAME]
    return [folder / CARD_NAME for folder in folders_with_cards(path)] if path.is_dir() else []


def _is_mounted(named: str, container: Object) -> bool:
    mounts = [text(mount, "mountPath") for mount in mappings(container.get("volumeMounts"))]
    return any(mount and PurePosixPath(named).is_relative_to(mount) for mount in mounts)


def _title(card: Card) -> str:
    return f"{card.name} {card.version}" if card.version else card.name


def _remedy(named: str) -> str:
    return "make train" if named.startswith(_TRAINED_HERE) else f"train the model, or fix {_VARIABLE}"
