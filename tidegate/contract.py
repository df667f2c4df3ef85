"""The inputs of a model, from its card or from the model itself. Files whose cells are text are read by them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A start from zero takes a second or two, and a person waits for it.
_PATIENCE_SECONDS = 20.0
_ANSWER_SECONDS = 60.0
_CARD = "model.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The inputs of a model: their datatypes by name, and the names of those that every row must have."""

    model: str
    inputs: Mapping[str, str]
    required: tuple[str, ...]


class _Input(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def optional(self) -> bool: ...


def is_card(model: str) -> bool:
    """Whether this is the path of a card, or of a folder with one, rather than a model's name."""
    path = Path(model)
    return path.suffix in (".yaml", ".yml") or "/" in model or (path / _CARD).is_file()


def of_card(path: Path) -> Contract:
    """The contract in a model card, or in the card of a folder. Raises InvalidModel."""
    from functions.runtime.contract import card

    found = card.load(path / _CARD if path.is_dir() else path)
    return _contract(found.name, found.inputs)


def of_model(model: str, router: str) -> Contract:
    """The contract in a model's metadata, by the router at this URL.

    Raises Refused and Unreachable, and InvalidMetadata for invalid metadata.
    """
    return asyncio.run(_fetch(model, router))


async def _fetch(model: str, router: str) -> Contract:
    from common.http_client import session
    from functions.batch.client import Client, RetryPolicy
    from functions.batch.signature import parse

    async with session(timeout_seconds=_ANSWER_SECONDS, raw=True) as opened:
        client = Client(router, opened, RetryPolicy(total_seconds=_PATIENCE_SECONDS))
        signature = parse(await client.call("GET", f"/v2/models/{quote(model, safe='')}"))
    return _contract(model, signature.inputs)


def _contract(model: str, inputs: Iterable[_Input]) -> Contract:
    found = tuple(inputs)
    return Contract(
        model=model,
        inputs={item.name: item.datatype for item in found},
        required=tuple(item.name for item in found if not item.optional),
    )
