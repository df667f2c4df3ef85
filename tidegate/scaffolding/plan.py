"""The plan of a new model function: its files, checked against the clone of the project. Nothing is written here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from common.errors import TidegateError
from tidegate.scaffolding import deriving, names
from tidegate.scaffolding.deriving import AlreadyListed, NoPlace
from tidegate.scaffolding.names import EXAMPLE

_TEMPLATES = Path(__file__).parents[1] / "templates/model"
_BASE = "manifests/base"
# Paths in the clone, and their templates; None is an empty file.
_NEW: dict[str, str | None] = {
    "functions/{name}/__init__.py": None,
    "functions/{name}/__main__.py": "__main__.py.txt",
    "functions/{name}/model.yaml": "model.yaml.txt",
    "functions/{name}/transform.py": "transform.py.txt",
    "functions/{name}/train.py": "train.py.txt",
    "functions/{name}/.gitignore": "gitignore.txt",
    "tests/functions/{name}/test_model.py": "test_model.py.txt",
}
_FASTAPI: dict[str, str | None] = {
    "functions/{name}/app.py": "app.py.txt",
    "tests/functions/{name}/test_app.py": "test_app.py.txt",
}
_CHANGED: dict[str, Callable[[str, str], str]] = {
    f"{_BASE}/kustomization.yaml": deriving.with_resource,
    "manifests/chart/values.yaml": deriving.with_value,
    "skaffold.yaml": deriving.with_artifacts,
    "ARCHITECTURE.md": deriving.with_row,
}


class NotAClone(TidegateError):
    """The folder is not a clone of the project, or lacks files from which new model functions are derived."""


class AlreadyExists(TidegateError):
    """The clone has a file or an entry of that name."""


@dataclass(frozen=True, slots=True)
class Change:
    """The new text of a file. `before` is its present text; None if it does not exist."""

    path: Path
    text: str
    before: str | None = field(default=None, kw_only=True)


def plan(clone: Path, name: str, *, fastapi: bool = False) -> list[Change]:
    """All changes for a new model function, new files first; with `fastapi`, it gets a FastAPI application.

    Raises UnusableName, NotAClone and AlreadyExists.
    """
    names.check(name)
    _check_clone(clone)
    _check_free(clone, name)
    templates = _NEW | (_FASTAPI if fastapi else {})
    new = [Change(clone / path.format(name=name), _rendered(template, name) if template else "") for path, template in templates.items()]
    manifests = [Change(clone / _BASE / name / path.name, deriving.renamed(_read(path), name)) for path in _manifests(clone)]
    return [*new, *manifests, *(_changed(clone / path, name, change) for path, change in _CHANGED.items())]


def _rendered(template: str, name: str) -> str:
    text = Template((_TEMPLATES / template).read_text("utf-8")).substitute(name=name)
    return deriving.with_sorted_imports(text) if template.endswith(".py.txt") else text


def _check_clone(clone: Path) -> None:
    try:
        project = tomllib.loads((clone / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        project = None
    if project != "tidegate":
        raise NotAClone(f"{clone.resolve()} is not a Tidegate checkout", remedy="run from the repository's root, or name it by --directory")


def _check_free(clone: Path, name: str) -> None:
    for folder in (f"functions/{name}", f"tests/functions/{name}", f"{_BASE}/{name}"):
        if (clone / folder).exists():
            raise AlreadyExists(f"{clone / folder} exists already", remedy="choose another name, or move it away")


def _manifests(clone: Path) -> list[Path]:
    folder = clone / _BASE / EXAMPLE
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise NotAClone(f"no manifests in {folder}, from which those of a new model function are derived", remedy="restore them")
    return found


def _changed(path: Path, name: str, change: Callable[[str, str], str]) -> Change:
    before = _read(path)
    try:
        return Change(path, change(before, name), before=before)
    except AlreadyListed as error:
        raise AlreadyExists(f"{path} has the line `{error}` already", remedy="choose another name, or remove that line") from None
    except NoPlace as error:
        raise NotAClone(f"{path} has no line `{error}`, which marks the place of model functions", remedy="restore it") from None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise NotAClone(f"cannot read {path}: {reason}", remedy="restore it, or name another clone by --directory") from None
