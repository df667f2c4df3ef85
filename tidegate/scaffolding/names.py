"""Names of model functions: one name for folder, Python package, image, Knative Service and model."""

from __future__ import annotations

import keyword
import re
import sys

import yaml

from common.errors import RemediedError

EXAMPLE = "flights"
# Knative derives longer names from a Service's, such as <name>-00001-private, of at most 63 characters; lines of code
# have at most 140.
_MAX_CHARACTERS = 30
_NAME = re.compile(rf"[a-z][a-z0-9]{{0,{_MAX_CHARACTERS - 1}}}")
# Names of other parts of the project, or of their images.
_RESERVED = frozenset(
    [
        "batch",
        "common",
        "eventing",
        "functions",
        "loadtest",
        "manifests",
        "model",
        "models",
        "router",
        "runtime",
        "stream",
        "tests",
        "tidegate",
        "training",
    ]
)
# Booleans of YAML 1.1 that PyYAML reads as strings.
_BOOLEANS = {"y", "n"}


class UnusableName(RemediedError):
    """A model function cannot have this name."""


def check(name: str) -> None:
    """Check a name. Raises UnusableName, with the reason and another name."""
    if not _NAME.fullmatch(name):
        raise UnusableName(
            f"{name!r} is not valid as the name of a folder, a Python package, an image and a Knative Service",
            remedy=f"use lower-case letters and digits, a letter first, at most {_MAX_CHARACTERS}, such as {_near(name)}",
        )
    taken = _taken(name)
    if taken:
        raise UnusableName(f"{name} is {taken}", remedy=f"choose another name, such as {name[: _MAX_CHARACTERS - 5]}model")


def _taken(name: str) -> str | None:
    if name == EXAMPLE:
        return "the example, from which new model functions are derived"
    if name in _RESERVED:
        return "a part of Tidegate itself"
    if name == "kubernetes":
        return "the Service of Kubernetes itself in the namespace default"
    if keyword.iskeyword(name):
        return "a keyword of Python"
    if name in sys.stdlib_module_names:
        return "a module of Python's own library"
    if name in _BOOLEANS or yaml.safe_load(name) != name:
        return "not a string in YAML"
    return None


def _near(name: str) -> str:
    """The name without the characters that are not allowed; another one if that leaves no usable name."""
    near = re.sub(r"[^a-z0-9]", "", name.lower()).lstrip("0123456789")[:_MAX_CHARACTERS]
    return near if near and not _taken(near) else "prices"
