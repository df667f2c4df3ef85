"""The trained models that the manifests name: there, readable, and the artifact that the card promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from common.errors import TidegateError
from functions.runtime.artifacts.fetching import locate
from functions.runtime.artifacts.loading import CARD_NAME
from functions.runtime.artifacts.policy import Policy
from functions.runtime.contract import card as cards
from functions.runtime.contract.card import Card
from tidegate.doctor.accessors import Workload, environment, mappings, text, workloads
from tidegate.doctor.finding import Finding, Level, error, note, of_error, ok, warning
from tidegate.objects import Document, Object

_VARIABLE = "TIDEGATE_MODEL"
# What `make train` makes.
_TRAINED_HERE = "functions/flights/"


def check(documents: list[Document], root: Path, *, needed: bool = True) -> Iterator[Finding]:
    """`root` is where `tidegate up` starts processes, and what an image is built from: the project's folder.

    A cluster has its models in images. What is not here is missing in the image as well, unless it is built elsewhere (`needed` False,
    and the function is not in the project's folder).
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
            yield note(subject, f"{named} is in a volume of the pod; on this machine `tidegate up` would not find it.")
        else:
            told = f"{named}, which {_VARIABLE} names in {workload.document.source}, is not here."
            yield Finding(absent, subject, told, _remedy(named))
        return
    for source in _cards(path):
        yield from _read(subject, named, source, environment(container))
    if not _cards(path):
        found = ok(subject, f"{named}, an artifact without a card") if path.is_file() else None
        yield found or error(subject, f"{named} has no {CARD_NAME}, nor has a folder in it.", _remedy(named))


def _read(subject: str, named: str, source: Path, environ: dict[str, str]) -> Iterator[Finding]:
    try:
        card = cards.load(source)
        if card.artifact.uri.partition("://")[0] not in (card.artifact.uri, "file"):
            yield note(subject, f"{_called(card)}: its artifact is fetched when the function starts, and is not looked at here.")
            return
        locate(card.artifact, source.parent, Policy.from_env(environ))
    except TidegateError as problem:
        trained_here = named.startswith(_TRAINED_HERE)
        found = of_error(subject, problem)
        yield Finding(Level.ERROR, subject, found.message, "make train" if trained_here else found.remedy)
        return
    if card.artifact.sha256 is None:
        yield warning(
            subject, f"{_called(card)}: its card has no digest, so that any artifact would do.", f"add artifact.sha256 to {source}"
        )
    else:
        yield ok(subject, f"{_called(card)}, {named}; its digest is the card's")


def _function(named: str) -> Path:
    """`functions/<name>`, whose image has the model."""
    return Path(*PurePosixPath(named).parts[:2])


def _cards(path: Path) -> list[Path]:
    """As the function finds them (functions.runtime.artifacts.loading)."""
    if path.suffix in (".yaml", ".yml"):
        return [path]
    if (path / CARD_NAME).exists():
        return [path / CARD_NAME]
    return sorted(found for found in path.glob(f"[!.]*/{CARD_NAME}")) if path.is_dir() else []


def _is_mounted(named: str, container: Object) -> bool:
    mounts = [text(mount, "mountPath") for mount in mappings(container.get("volumeMounts"))]
    return any(mount and PurePosixPath(named).is_relative_to(mount) for mount in mounts)


def _called(card: Card) -> str:
    return f"{card.name} {card.version}" if card.version else card.name


def _remedy(named: str) -> str:
    return "make train" if named.startswith(_TRAINED_HERE) else f"train the model, or mend {_VARIABLE}"
