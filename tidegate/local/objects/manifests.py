"""The manifests that `tidegate up` runs: objects that a cluster would take, without those that mean nothing to a process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from tidegate import objects
from tidegate.local.objects import rules
from tidegate.local.objects.resources import Manifest, only_on_a_cluster
from tidegate.local.objects.validation import InvalidObject, Object
from tidegate.objects import Document, InvalidManifest

log = logging.getLogger("tidegate.local")

DEFAULT_NAMESPACE = "default"

M = TypeVar("M", bound=Manifest)


def load(source: str | Sequence[Object]) -> list[Document]:
    """The objects of a path, of standard input for `-`, or the objects themselves; all of them checked. Raises InvalidManifest.

    What only a cluster can do is left out, and said.
    """
    if not isinstance(source, str):
        return checked([Document(f"object {number}", item) for number, item in enumerate(source, start=1)])
    return checked([document for document in objects.read(source) if _runs_here(document)])


def _runs_here(document: Document) -> bool:
    reason = only_on_a_cluster(document.object)
    if reason:
        metadata = document.object.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        log.info("%s %s is left to the cluster: %s", document.object["kind"], name, reason)
    return not reason


def of_kind(kind: type[M], documents: Sequence[Document]) -> list[M]:
    known = (rules.check(document.object) for document in documents)
    return [manifest for manifest in known if isinstance(manifest, kind)]


def checked(documents: list[Document]) -> list[Document]:
    """The same, when each is an object that a cluster would take and no name is there twice. Raises InvalidManifest."""
    seen: dict[tuple[str, str, str], str] = {}
    for document in documents:
        _check(document)
        _check_unique(document, seen)
    return documents


def _check(document: Document) -> None:
    try:
        rules.check(document.object)
    except InvalidObject as error:
        raise InvalidManifest(f"{document.source}: {error}") from None


def _check_unique(document: Document, seen: dict[tuple[str, str, str], str]) -> None:
    metadata = document.object["metadata"]
    # A service's name is its host, so one name cannot be in two namespaces here.
    key = (document.object["apiVersion"], document.object["kind"], metadata["name"])
    if key in seen:
        raise InvalidManifest(f"{document.source}: {key[1]} {key[2]} is also in {seen[key]}; keep one, or rename one of them.")
    seen[key] = document.source
