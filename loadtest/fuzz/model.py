"""The models of a function or a router, by their metadata, which is all that the fuzzer knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from common.errors import TidegateError
from loadtest.fuzz.wire import Target


class NotServed(TidegateError):
    """The server at the port is not a model function."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    datatype: str
    optional: bool
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    columns: tuple[Column, ...]
    outputs: tuple[str, ...]


def discover(target: Target) -> list[Model]:
    """Return the models that a target serves. Raises NotServed and OSError."""
    listed = _get(target, "/v2/models")["models"]
    # A router lists objects rather than names.
    names = [item if isinstance(item, str) else item["name"] for item in listed]
    return [_model(_get(target, f"/v2/models/{name}")) for name in names]


def is_alive(target: Target) -> bool:
    return bool(_get(target, "/v2/health/live")["live"])


def _model(metadata: dict[str, Any]) -> Model:
    columns = tuple(
        Column(
            item["name"],
            item["datatype"],
            item["parameters"]["optional"],
            tuple(filter(None, item["parameters"].get("categories", "").split(", "))),
        )
        for item in metadata["inputs"]
    )
    return Model(metadata["name"], columns, tuple(item["name"] for item in metadata["outputs"]))


def _get(target: Target, path: str) -> Any:
    reply = target.get(path)
    if reply is None or reply.status != 200:
        raise NotServed(
            f"{path} at port {target.port} is answered with {reply.status if reply else 'nothing'}",
            remedy="start a model function or a router there, and set --host for one behind a gateway",
        )
    return orjson.loads(reply.body)
