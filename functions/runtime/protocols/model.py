"""The properties of a model that the protocols need to decode a request."""

from __future__ import annotations

from typing import Protocol

from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder
from functions.runtime.contract.outputs import Outputs


class ModelContract(Protocol):
    """The inputs, the outputs and the limits of a model."""

    @property
    def card(self) -> Card: ...

    @property
    def encoder(self) -> Encoder: ...

    @property
    def outputs(self) -> Outputs: ...

    @property
    def max_values(self) -> int:
        """The limit of a request's values: its rows times the model's inputs."""

    def check_rows(self, count: int) -> None:
        """Raise TooLarge for too many rows in a request."""
