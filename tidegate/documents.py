"""Kubernetes objects of a file, a folder, a kustomization or standard input, in their order in the text."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import TidegateError
from tidegate import kustomize

Object = dict[str, Any]

_NAME_OBJECTS = "name a file or a folder with Kubernetes objects in YAML"


class InvalidManifest(TidegateError):
    """A manifest cannot be read, or is not valid."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object and its source: a file, with the number of the document if the file has several."""

    source: str
    object: Object


def read_documents(source: str) -> list[Document]:
    """The unvalidated objects of a path, or of standard input for `-`; a kustomization is followed.

    Raises InvalidManifest.
    """
    documents = list(_parse(_standard_input(), "standard input") if source == "-" else _read(Path(source)))
    if not documents:
        raise InvalidManifest(f"{source} has no manifests", remedy=_NAME_OBJECTS)
    return documents


def _read(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Document]:
    """The objects of a file or a folder. `above` are the folders whose kustomizations led here."""
    if path.is_dir():
        kustomization = kustomize.file_of(path)
        if kustomization:
            yield from _follow(kustomization, above)
            return
        for file in sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")]):
            yield from _parse(_text(file), str(file))
        return
    yield from _parse(_text(path), str(path))


def _follow(kustomization: Path, above: tuple[Path, ...]) -> Iterator[Document]:
    """The objects of a kustomization.

    One that only lists resources is read here, so that errors name the file and no tool is needed; others are built by
    kustomize.
    """
    folder = kustomization.parent
    here = folder.resolve()
    if here in above:
        raise InvalidManifest(f"{kustomization} is among its own resources", remedy="remove it from them")
    content: Any = next((document.object for document in _parse(_text(kustomization), str(kustomization))), {})
    resources = content.get("resources") or []
    if not isinstance(resources, list):
        raise InvalidManifest(f"{kustomization}: resources must be a list", remedy="write each path after a dash")
    if not kustomize.lists_only(content):
        try:
            built = kustomize.build(folder)
        except kustomize.KustomizeFailed as error:
            raise InvalidManifest(error.message, remedy=error.remedy) from None
        yield from _parse(built, f"{folder} (kustomized)")
        return
    for resource in resources:
        yield from _read(folder / str(resource), (*above, here))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode() if sys.stdin else ""
    except UnicodeDecodeError:
        raise InvalidManifest("standard input is not UTF-8 text", remedy="pipe Kubernetes objects in YAML into it") from None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidManifest(f"{file} is not UTF-8 text", remedy=_NAME_OBJECTS) from None
    except OSError as error:
        raise InvalidManifest(f"cannot read the manifest {file}: {error.strerror}", remedy="name a file or a folder that exists") from None


def _parse(text: str, source: str) -> Iterator[Document]:
    try:
        values = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise InvalidManifest(f"{source} is not YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise InvalidManifest(f"{source} is nested too deeply for a Kubernetes object", remedy=_NAME_OBJECTS) from None
    many = sum(value is not None for value in values) > 1
    for index, value in enumerate(values, start=1):
        where = f"{source} (document {index})" if many else source
        if value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidManifest(
                f"{where} is {type(value).__name__}, not a Kubernetes object", remedy="write apiVersion, kind and metadata"
            )
        if value.get("kind") == "List":
            yield from _items(value.get("items"), where)
        else:
            yield Document(where, value)


def _items(items: Any, where: str) -> Iterator[Document]:
    for number, item in enumerate(items if isinstance(items, list) else [items], start=1):
        if not isinstance(item, dict):
            raise InvalidManifest(
                f"{where}, item {number} is {type(item).__name__}, not a Kubernetes object", remedy="fix the items of the List"
            )
        yield Document(f"{where}, item {number}", item)


class _Loader(yaml.SafeLoader):
    """A loader like the API server's: duplicate keys are an error, and timestamps are strings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice!r}", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
