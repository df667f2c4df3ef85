"""Manifests from a file, a folder, a kustomization or standard input: Kubernetes objects in the order in which they were written."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tidegate.local import rules
from tidegate.local.errors import InvalidManifest
from tidegate.local.resources import Manifest
from tidegate.local.validation import InvalidObject, Object

DEFAULT_NAMESPACE = "default"
_KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_KUSTOMIZE_FIELDS = {"apiVersion", "kind", "metadata", "resources", "namespace"}


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it was written: `file`, and the number of the document when the file has several."""

    source: str
    object: Object


M = TypeVar("M", bound=Manifest)


def load(source: str | Sequence[Object]) -> list[Document]:
    """The objects of a path, of standard input for `-`, or the objects themselves; all of them checked. Raises InvalidManifest."""
    if not isinstance(source, str):
        return checked([Document(f"object {number}", item) for number, item in enumerate(source, start=1)])
    documents = list(_parse(sys.stdin.read(), "standard input") if source == "-" else _read(Path(source)))
    if not documents:
        raise InvalidManifest(f"{source} has no manifests; name a file or a folder with Kubernetes objects in YAML.")
    return checked(documents)


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


def _read(path: Path) -> Iterator[Document]:
    if path.is_dir():
        kustomization = next((path / name for name in _KUSTOMIZATION if (path / name).is_file()), None)
        if kustomization:
            yield from _follow(kustomization)
            return
        for file in sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")]):
            yield from _parse(_text(file), str(file))
        return
    yield from _parse(_text(path), str(path))


def _follow(kustomization: Path) -> Iterator[Document]:
    """Resources and namespace are honoured; what would change objects in other ways is left to kustomize itself."""
    folder = kustomization.parent
    content: Any = next((d.object for d in _parse(_text(kustomization), str(kustomization))), {})
    others = sorted(set(content) - _KUSTOMIZE_FIELDS)
    if others:
        raise InvalidManifest(
            f"{kustomization} uses {', '.join(others)}, which only kustomize itself can do; run: kubectl kustomize {folder} | tidegate up -"
        )
    for resource in content.get("resources", []):
        if "://" in str(resource):
            raise InvalidManifest(
                f"{kustomization} names {resource}, which is not on this machine; run: kubectl kustomize {folder} | tidegate up -"
            )
        for document in _read(folder / str(resource)):
            yield _in_namespace(document, content.get("namespace"))


def _in_namespace(document: Document, namespace: str | None) -> Document:
    if not namespace:
        return document
    metadata = {**document.object.get("metadata", {}), "namespace": namespace}
    return Document(document.source, {**document.object, "metadata": metadata})


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidManifest(f"{file} is not UTF-8 text; name a file or a folder with Kubernetes objects in YAML.") from None
    except OSError as error:
        raise InvalidManifest(f"cannot read the manifest {file}: {error.strerror}; name a file or a folder that exists.") from None


def _parse(text: str, source: str) -> Iterator[Document]:
    try:
        values = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise InvalidManifest(f"{source} is not YAML: {' '.join(str(error).split())}.") from None
    many = sum(value is not None for value in values) > 1
    for index, value in enumerate(values, start=1):
        where = f"{source} (document {index})" if many else source
        if value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidManifest(f"{where} is not a Kubernetes object but {type(value).__name__}; write apiVersion, kind and metadata.")
        if value.get("kind") == "List":
            yield from (Document(f"{where}, item {number}", item) for number, item in enumerate(value.get("items", []), start=1))
        else:
            yield Document(where, value)


class _Loader(yaml.SafeLoader):
    """As the API server reads YAML: no key twice, and a time is a text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
