"""What a function says of its models: all that the fuzzer knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from eventing.errors import TidegateError
from loadtest.fuzz.wire import get


class NotServed(TidegateError):
    """What answers at the port is no model function."""


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


def discover(port: int) -> list[Model]:
    """The models of the function at a port of this machine. Raises NotServed and OSError."""
    return [_model(_get(port, f"/v2/models/{name}")) for name in _get(port, "/v2/models")["models"]]


def is_alive(port: int) -> bool:
    return bool(_get(port, "/v2/health/live")["live"])


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


def _get(port: int, path: str) -> Any:
    reply = get(port, path)
    if reply is None or reply.status != 200:
        raise NotServed(f"{path} at port {port} is answered by {reply.status if reply else 'nobody'}; start a model function there.")
    return orjson.loads(reply.body)
