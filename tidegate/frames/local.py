"""A model in this process: its artifact, loaded by its card, answers the requests that a model function answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from os import environ
from pathlib import Path
from types import MappingProxyType

import orjson

from common.errors import RemediedError, TidegateError
from functions.batch.client import Refused, Response
from functions.runtime.artifacts.loading import CARD_NAME, Loaded, folders_with_cards, load
from functions.runtime.artifacts.policy import Policy
from functions.runtime.contract import card as cards
from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder
from functions.runtime.contract.outputs import Outputs
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.errors import InvalidInput, TooLarge
from functions.runtime.protocols import v2
from functions.runtime.runtimes import ask

# Rows of a request, which has been divided before.
_MAX_ROWS = 1_000_000


class WrongModel(RemediedError):
    """The model at a path is not the one that was asked for."""


def find_card(model: str, path: Path, version: str | None) -> tuple[Path, str]:
    """Return the path of the card of a model, and its sha256, which covers that of the artifact.

    The card is in the folder, or in one of the folders of versions in it. Raises WrongModel, and InvalidModel for a
    card that cannot be read.
    """
    found = [path] if path.is_file() else [path / CARD_NAME] if (path / CARD_NAME).exists() else []
    found = found or ([folder / CARD_NAME for folder in folders_with_cards(path)] if path.is_dir() else [])
    chosen = [(item, card) for item in found for card in [cards.load(item)] if card.name == model and version in (None, card.version)]
    wanted = f"the model {model}{f' {version}' if version else ''}"
    if not chosen:
        raise WrongModel(f"{wanted} is not at {path}", remedy=f"name the folder of its {CARD_NAME}")
    if len(chosen) > 1:
        known = ", ".join(str(card.version) for _, card in chosen)
        raise WrongModel(f"{path} has several versions of {wanted} ({known})", remedy="name one by `version`")
    ((item, card),) = chosen
    if card.artifact.sha256 is None or card.sha256 is None:
        raise WrongModel(
            f"the card {item} has no digest of its artifact, so workers could score with different models",
            remedy="write artifact.sha256 into it",
        )
    return item.resolve(), card.sha256


def open_model(path: Path, sha256: str) -> LocalModel:
    """Load the model of a card with this digest. Raises WrongModel and InvalidModel."""
    if not path.exists():
        raise WrongModel(f"the card {path} is not there in this process", remedy="put the model where each worker can read it")
    loaded = load(path, Policy.from_env(environ))
    if loaded.card.sha256 != sha256:
        raise WrongModel(f"the card {path} has changed since the scorer was made", remedy="make the scorer again")
    return LocalModel(loaded)


class LocalModel:
    """A loaded model. Requests are decoded and answered by the code of a model function, so that scores are equal."""

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self.card: Card = loaded.card
        self.encoder: Encoder = loaded.encoder
        self.outputs: Outputs = loaded.outputs
        self.max_values = _MAX_ROWS * len(loaded.encoder.names)

    def check_rows(self, count: int) -> None:
        """Raise TooLarge for too many rows in a request."""
        if count > _MAX_ROWS:
            raise TooLarge(f"the request has {count} rows, more than the limit of {_MAX_ROWS}", remedy="send several requests")

    def metadata(self) -> bytes:
        """Return the model's metadata, as a model function does."""
        return orjson.dumps(v2.metadata(self.card, self.outputs, ()))

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        failed: Callable[[int], None] = lambda _: None,
    ) -> Response:
        """Answer an inference request. Raises Refused with the status that a model function would answer."""
        length = headers.get("Inference-Header-Content-Length")
        return await asyncio.to_thread(self._answer, body or b"", None if length is None else int(length))

    def _answer(self, body: bytes, json_length: int | None) -> Response:
        try:
            request = v2.decode(body, json_length, self)
            predictions: dict[Kind, Prediction] = {}
            for output in request.outputs:
                if output.kind not in predictions:
                    predictions[output.kind] = ask(self._model, request.rows.values, request.rows.count, output.kind)
            tensors = [output.tensor(predictions[output.kind], request.rows.count) for output in request.outputs]
        except (InvalidInput, TooLarge) as error:
            raise _refused(error) from None
        content, length = v2.encode(self.card, request, tensors)
        return Response(content, {} if length is None else {"Inference-Header-Content-Length": str(length)})


def _refused(error: TidegateError) -> Refused:
    return Refused(error.message, 413 if isinstance(error, TooLarge) else 400, remedy=error.remedy)
