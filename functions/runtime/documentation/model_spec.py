"""The specification of a model, from which its documentation is made."""

from __future__ import annotations

from typing import NamedTuple

from functions.runtime.contract.card import Card
from functions.runtime.contract.outputs import Outputs


class ModelSpec(NamedTuple):
    """One version of a model. With `nulls` any of its inputs may be null, as for an artifact without a card."""

    card: Card
    outputs: Outputs
    nulls: bool = False

    @property
    def title(self) -> str:
        """The name and the version."""
        return f"{self.card.name} {self.card.version}" if self.card.version else self.card.name
