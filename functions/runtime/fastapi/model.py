"""A served model for the handlers of a FastAPI application: predictions, and types made from its card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from functions.runtime.contract.card import Card
from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.fastapi import types
from functions.runtime.inference.registry import DataPlane
from functions.runtime.protocols.v1 import document_of

Row = Mapping[str, Any] | BaseModel
_DEFAULT_SECONDS = 300.0


class Model:
    """A model of the function, by name; its newest version answers by default."""

    def __init__(self, plane: DataPlane, name: str) -> None:
        self._plane = plane
        self.name = name

    @property
    def card(self) -> Card:
        """The card of the newest version."""
        return self._plane.entry(self.name).card

    @property
    def specs(self) -> list[ModelSpec]:
        """The specifications for its documentation, one per version, the newest first."""
        return [ModelSpec(entry.card, entry.outputs, entry.nulls) for entry in self._plane.entries if entry.name == self.name]

    @cached_property
    def request_type(self) -> type[BaseModel]:
        """A pydantic model of a row with a field for each input, checked like in the function's own protocols."""
        entry = self._plane.entry(self.name)
        return types.request_type(self.card, nulls=entry.nulls)

    @cached_property
    def response_type(self) -> Any:
        """The type that `predict` returns for a row: a number or a string, or a pydantic model of several outputs."""
        return types.response_type(self.card.name, self._plane.entry(self.name).outputs.default)

    async def predict(self, row: Row, *, version: str | None = None, seconds: float = _DEFAULT_SECONDS) -> Any:
        """Predict one row; returns the output's value, or an object by output name for several outputs.

        Raises InvalidInput, Overloaded, TimedOut (after `seconds`), NotReady and UnknownModel; if a handler does not
        catch them, the response is that of the function's own routes.
        """
        (found,) = await self.predict_many([row], version=version, seconds=seconds)
        return found

    async def predict_many(self, rows: Sequence[Row], *, version: str | None = None, seconds: float = _DEFAULT_SECONDS) -> list[Any]:
        """Predict several rows; returns their predictions in order.

        Raises what `predict` raises, and TooLarge for too many rows.
        """
        model = self._plane.entry(self.name, version).model
        model.check_rows(len(rows))
        encoded = model.encoder.objects([_record(row) for row in rows])
        tensors = await model.infer(encoded, model.outputs.default, time.monotonic() + seconds)
        predictions: list[Any] = document_of(tensors)["predictions"]
        return predictions


def _record(row: Row) -> dict[str, Any]:
    """Return a row by input name, without the inputs that were not set."""
    return row.model_dump(by_alias=True, exclude_unset=True) if isinstance(row, BaseModel) else dict(row)
