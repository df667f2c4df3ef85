"""The files of a new model function, and whether a clone of the project can take them. Nothing is written here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from common.errors import TidegateError
from tidegate.scaffolding import deriving, names
from tidegate.scaffolding.deriving import Listed, NoPlace
from tidegate.scaffolding.names import EXAMPLE

_TEMPLATES = Path(__file__).parents[1] / "templates/model"
_BASE = "manifests/base"
# Paths in the clone, and the templates that they are made from; None is an empty file.
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
    """The folder is no clone of the project, or lacks what new model functions are made from."""


class AlreadyThere(TidegateError):
    """The clone has something of that name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a file is to hold. `before` is what it holds now, None for one that is not there."""

    path: Path
    text: str
    before: str | None = None


def plan(clone: Path, name: str, *, fastapi: bool = False) -> list[Change]:
    """All that a new model function needs, new files first; with `fastapi`, an application of FastAPI's around it.

    Raises UnusableName, NotAClone and AlreadyThere.
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
        raise NotAClone(f"{clone.resolve()} is no clone of Tidegate; stand in the clone's own folder, or name that by --directory.")


def _check_free(clone: Path, name: str) -> None:
    for folder in (f"functions/{name}", f"tests/functions/{name}", f"{_BASE}/{name}"):
        if (clone / folder).exists():
            raise AlreadyThere(f"{clone / folder} is there already; choose another name, or move it away.")


def _manifests(clone: Path) -> list[Path]:
    folder = clone / _BASE / EXAMPLE
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise NotAClone(f"there are no manifests in {folder}, which those of a new model function are made from; restore them.")
    return found


def _changed(path: Path, name: str, change: Callable[[str, str], str]) -> Change:
    before = _read(path)
    try:
        return Change(path, change(before, name), before)
    except Listed as error:
        raise AlreadyThere(f"{path} has the line `{error}` already; choose another name, or take that out.") from None
    except NoPlace as error:
        raise NotAClone(f"{path} has no line `{error}`, which shows where a model function is added; put it back.") from None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise NotAClone(f"cannot read {path}: {reason}; restore it, or name another clone by --directory.") from None
