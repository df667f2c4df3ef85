"""Manifests of `tidegate up`: documents that are parsed once, without the kinds that only a cluster supports."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from functions.runtime.knative.objects import SERVING
from tidegate.documents import Document, InvalidManifest, read_documents
from tidegate.local.objects import rules
from tidegate.local.objects.kinds import cluster_only_reason
from tidegate.local.objects.resources import Manifest
from tidegate.local.objects.validation import InvalidObject, Object

log = logging.getLogger("tidegate.local")

DEFAULT_NAMESPACE = "default"

M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document and the model of its object, which is valid by every rule."""

    document: Document
    model: Manifest


def load(source: str | Sequence[Object]) -> list[ParsedDocument]:
    """Parse the objects of a path, of standard input for `-`, or the given objects themselves. Raises InvalidManifest.

    Kinds that only a cluster supports are left out, with a line in the log.
    """
    if not isinstance(source, str):
        return parse_documents([Document(f"object {number}", item) for number, item in enumerate(source, start=1)])
    return parse_documents([document for document in read_documents(source) if _is_supported(document)])


def parse_documents(documents: Iterable[Document]) -> list[ParsedDocument]:
    """Parse each document. Raises InvalidManifest for the first invalid one, and for a name that two documents have."""
    sources: dict[tuple[str, ...], str] = {}
    parsed = []
    for document in documents:
        parsed.append(_parse(document))
        _check_unique(document, sources)
    return parsed


def of_kind(kind: type[M], documents: Iterable[ParsedDocument]) -> list[M]:
    """The models of one kind, in the order of the documents."""
    return [parsed.model for parsed in documents if isinstance(parsed.model, kind)]


def _is_supported(document: Document) -> bool:
    reason = cluster_only_reason(document.object)
    if reason:
        metadata = document.object.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        log.info("%s %s is left to the cluster: %s", document.object["kind"], name, reason)
    return not reason


def _parse(document: Document) -> ParsedDocument:
    try:
        return ParsedDocument(document, rules.parse_manifest(document.object))
    except InvalidObject as error:
        raise InvalidManifest(f"{document.source}: {error.message}", remedy=error.remedy) from None


def _check_unique(document: Document, sources: dict[tuple[str, ...], str]) -> None:
    metadata = document.object["metadata"]
    # The name of a service is its host, so one name cannot be in two namespaces.
    namespace = "" if document.object["apiVersion"] == SERVING else metadata.get("namespace") or DEFAULT_NAMESPACE
    key = (document.object["apiVersion"], document.object["kind"], namespace, metadata["name"])
    if key in sources:
        message = f"{document.source}: {key[1]} {key[3]} is also in {sources[key]}"
        raise InvalidManifest(message, remedy="keep one, or rename one of them")
    sources[key] = document.source
