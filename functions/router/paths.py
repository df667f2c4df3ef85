"""The paths of requests to a model: pure functions, so that no framework is between a request and its model."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from functions.runtime.errors import InvalidInput


class Kind(Enum):
    """The kind of a request to a model, by which it is handled."""

    INFER = "infer"  # Open Inference: its rows may go to several arms
    EVENTS = "events"  # CloudEvents: the events of a batch may go to several arms
    METADATA = "metadata"  # answered with the versions of all arms
    OPENAPI = "openapi"  # the document of the model function
    ONE = "one"  # any other: forwarded unchanged, to one arm


class ModelRequest(NamedTuple):
    """A request to a model; `version` is None unless the path names one, `methods` are those that the path allows.

    `predicts` is whether a POST is a prediction, which has no effect but its answer, so that it may be repeated.
    """

    kind: Kind
    model: str
    version: str | None
    methods: tuple[str, ...]
    predicts: bool = False


ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_POST = ("POST",)
_GET = ("GET", "HEAD")
_PREDICTIONS = (":predict", ":explain")

_MODEL = re.compile(
    r"/(?P<protocol>v2/models|v1/models|models)/(?P<model>[^/:]+)(?P<verb>:[^/]*)?"
    r"(?P<versions>/versions/(?P<version>[^/:]+)(?P<version_verb>:[^/]*)?)?(?P<rest>/.*)?",
    re.DOTALL,
)
# Segments as the next server may read them: it may decode them first, and may take a backslash for a slash.
_DOTS = re.compile(rb"(?:\A|/)(?:\.|%2[eE]){1,2}(?:/|;|\Z)")
_SHORT = 128
_HIDDEN = re.compile(rb"(?i)\\|%(?:2f|5c|00)")


def check(raw_path: bytes) -> None:
    """Refuse a path that another server could read as another one. Raises InvalidInput."""
    if b"." not in raw_path and b"%" not in raw_path and b"\\" not in raw_path:
        return
    if _DOTS.search(raw_path):
        raise InvalidInput("the path has a segment of dots (. or ..)", remedy="send the normalized path")
    if _HIDDEN.search(raw_path):
        raise InvalidInput("the path has an encoded slash, a backslash or a NUL", remedy="separate its segments by plain slashes")


def without_slash(path: str) -> str:
    """A path without one trailing slash, which has no meaning here or in a model function."""
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def find(path: str) -> ModelRequest | None:
    """Parse a decoded path without a trailing slash; None when it is not that of a model."""
    return _known(path) if len(path) <= _SHORT else _find(path)


def _find(path: str) -> ModelRequest | None:
    found = _MODEL.fullmatch(path)
    if found is None:
        return None
    protocol, model, verb, versions, version, version_verb, rest = found.groups()
    if protocol == "v2/models":
        if verb or version_verb:
            return None
        if rest == "/infer":
            return ModelRequest(Kind.INFER, model, version, _POST, predicts=True)
        return ModelRequest(Kind.ONE if rest else Kind.METADATA, model, version, ANY)
    if protocol == "v1/models":
        predicts = (version_verb or verb) in _PREDICTIONS and not rest
        return None if verb and (versions or rest) else ModelRequest(Kind.ONE, model, version, ANY, predicts)
    if verb or versions or rest not in (None, "/openapi.json"):
        return None
    return ModelRequest(Kind.OPENAPI, model, None, _GET) if rest else ModelRequest(Kind.EVENTS, model, None, _POST, predicts=True)


# Paths repeat. Long ones are not kept, so that callers who invent paths take no memory.
_known = lru_cache(1024)(_find)
