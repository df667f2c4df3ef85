"""A served model, as handlers of a FastAPI application use it: predictions in the process, and types made from its card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from functions.runtime.contract.card import Card
from functions.runtime.documentation.model_spec import Described
from functions.runtime.fastapi import types
from functions.runtime.inference.dataplane import DataPlane
from functions.runtime.protocols.v1 import document_of

Row = Mapping[str, Any] | BaseModel
_DEFAULT_SECONDS = 300.0


class Model:
    """One model of the function by its name; without a version, its newest answers."""

    def __init__(self, plane: DataPlane, name: str) -> None:
        self._plane = plane
        self.name = name

    @property
    def card(self) -> Card:
        return self._plane.slot(self.name).card

    @property
    def specs(self) -> list[Described]:
        """What its documentation is made from, a version each, the newest first."""
        return [Described(slot.card, slot.outputs, slot.nulls) for slot in self._plane.slots if slot.name == self.name]

    @cached_property
    def request_type(self) -> type[BaseModel]:
        """A pydantic model of one row, by the card's inputs: a field for each, checked as the function's own protocols check it."""
        slot = self._plane.slot(self.name)
        return types.request_type(self.card, nulls=slot.nulls)

    @cached_property
    def response_type(self) -> Any:
        """What `predict` returns for one row: a number or a string, or, of a model with several outputs, a pydantic model of them."""
        return types.response_type(self.card.name, self._plane.slot(self.name).outputs.default)

    async def predict(self, row: Row, *, version: str | None = None, seconds: float = _DEFAULT_SECONDS) -> Any:
        """The prediction for one row: the output's value, or an object by output name where the model has several.

        Raises InvalidInput, Overloaded, TimedOut (after `seconds`), NotReady and UnknownModel; a handler that lets them pass
        answers as the function's own routes do.
        """
        (found,) = await self.predict_many([row], version=version, seconds=seconds)
        return found

    async def predict_many(self, rows: Sequence[Row], *, version: str | None = None, seconds: float = _DEFAULT_SECONDS) -> list[Any]:
        """A prediction a row, in their order. Raises what `predict` raises, and TooLarge for more rows than a request may have."""
        model = self._plane.slot(self.name, version).model
        model.check_rows(len(rows))
        encoded = model.encoder.objects([_record(row) for row in rows])
        answered = await model.infer(encoded, model.outputs.default, time.monotonic() + seconds)
        predictions: list[Any] = document_of(answered)["predictions"]
        return predictions


def _record(row: Row) -> dict[str, Any]:
    """By the names of the card's inputs; what was not given is left out."""
    return row.model_dump(by_alias=True, exclude_unset=True) if isinstance(row, BaseModel) else dict(row)
