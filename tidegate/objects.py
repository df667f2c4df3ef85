"""Kubernetes objects from a file, a folder, a kustomization or standard input, in the order in which they were written."""

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


class InvalidManifest(TidegateError):
    """A manifest cannot be read, or says what no API server would take."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it was written: `file`, and the number of the document when the file has several."""

    source: str
    object: Object


def read(source: str) -> list[Document]:
    """The objects of a path, or of standard input for `-`, as they are; a kustomization is followed. Raises InvalidManifest."""
    documents = list(_parse(_standard_input(), "standard input") if source == "-" else _read(Path(source)))
    if not documents:
        raise InvalidManifest(f"{source} has no manifests; name a file or a folder with Kubernetes objects in YAML.")
    return documents


def _read(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Document]:
    """`above` are the folders whose kustomizations led here."""
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
    """Plain resources are read here, so that mistakes are told with their file, without a tool; changes are kustomize's."""
    folder = kustomization.parent
    here = folder.resolve()
    if here in above:
        raise InvalidManifest(f"{kustomization} is among its own resources; take it out of them.")
    content: Any = next((document.object for document in _parse(_text(kustomization), str(kustomization))), {})
    resources = content.get("resources") or []
    if not isinstance(resources, list):
        raise InvalidManifest(f"{kustomization}: resources is not a list; write each path after a dash.")
    if not kustomize.lists_only(content):
        try:
            built = kustomize.build(folder)
        except kustomize.KustomizeFailed as error:
            raise InvalidManifest(str(error)) from None
        yield from _parse(built, f"{folder} (kustomized)")
        return
    for resource in resources:
        yield from _read(folder / str(resource), (*above, here))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode() if sys.stdin else ""
    except UnicodeDecodeError:
        raise InvalidManifest("standard input is not UTF-8 text; pipe Kubernetes objects in YAML into it.") from None


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
    except RecursionError:
        raise InvalidManifest(f"{source} is nested deeper than any Kubernetes object; name a file or a folder with such objects.") from None
    many = sum(value is not None for value in values) > 1
    for index, value in enumerate(values, start=1):
        where = f"{source} (document {index})" if many else source
        if value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidManifest(f"{where} is not a Kubernetes object but {type(value).__name__}; write apiVersion, kind and metadata.")
        if value.get("kind") == "List":
            yield from _items(value.get("items"), where)
        else:
            yield Document(where, value)


def _items(items: Any, where: str) -> Iterator[Document]:
    for number, item in enumerate(items if isinstance(items, list) else [items], start=1):
        if not isinstance(item, dict):
            raise InvalidManifest(
                f"{where}, item {number} is not a Kubernetes object but {type(item).__name__}; mend the items of the List."
            )
        yield Document(f"{where}, item {number}", item)


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
