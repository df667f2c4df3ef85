"""What a model function can be called: one name for its folder, Python package, image, Knative Service and model."""

from __future__ import annotations

import keyword
import re
import sys

import yaml

from common.errors import TidegateError

EXAMPLE = "flights"
# Knative makes longer names of a Service's, such as <name>-00001-private, which may have 63 characters; our lines of code may have 140.
_LONGEST = 30
_NAME = re.compile(rf"[a-z][a-z0-9]{{0,{_LONGEST - 1}}}")
# What other parts of the project are called, or their images.
_OURS = frozenset(
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
# What YAML 1.1 reads as true or false, and no parser for Python does.
_BOOLEANS = {"y", "n"}


class UnusableName(TidegateError):
    """A model function cannot be called that."""


def check(name: str) -> None:
    """Raises UnusableName, with the reason and a name that would do."""
    if not _NAME.fullmatch(name):
        raise UnusableName(
            f"{name!r} is no name for a model function, since its folder, Python package, image and Knative Service are called the same;"
            f" use small letters and digits, a letter first, {_LONGEST} at the most, such as {_near(name)}."
        )
    taken = _taken(name)
    if taken:
        raise UnusableName(f"{name} is {taken}; choose another name for the model function, such as {name[: _LONGEST - 5]}model.")


def _taken(name: str) -> str | None:
    if name == EXAMPLE:
        return "the example, which new model functions are made from"
    if name in _OURS:
        return "a part of Tidegate itself"
    if name == "kubernetes":
        return "what Kubernetes calls its own Service in the namespace default"
    if keyword.iskeyword(name):
        return "a keyword of Python"
    if name in sys.stdlib_module_names:
        return "a module of Python's own library"
    if name in _BOOLEANS or yaml.safe_load(name) != name:
        return "no text in YAML, where it means something else"
    return None


def _near(name: str) -> str:
    """The name without what it may not have."""
    near = re.sub(r"[^a-z0-9]", "", name.lower()).lstrip("0123456789")[:_LONGEST]
    return near if near and not _taken(near) else "prices"
