"""What the documents are made from."""

from __future__ import annotations

from typing import NamedTuple

from functions.runtime.contract.card import Card
from functions.runtime.contract.outputs import Outputs


class Described(NamedTuple):
    """One version of a model. With `nulls` any of its inputs may be null, as for an artifact that came without a card."""

    card: Card
    outputs: Outputs
    nulls: bool = False

    @property
    def title(self) -> str:
        return f"{self.card.name} {self.card.version}" if self.card.version else self.card.name
