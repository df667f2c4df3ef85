"""The callbacks by which inference reports library calls and predicted rows. Metrics implement them."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

from functions.runtime.contract.card import Card
from functions.runtime.contract.outputs import Outputs
from functions.runtime.contract.signature import Kind, Signature


class CallObserver(Protocol):
    """Called after each call of the library, by the event loop or by a worker thread."""

    def __call__(self, kind: Kind, rows: int, requests: int, waited_seconds: float, took_seconds: float, /) -> None:
        """`requests` are those that begin with this call, and the first of them waited `waited_seconds` for it."""


class RowObserver(Protocol):
    """Called with the rows of each request and their predictions of the kind `value`, on the event loop."""

    def __call__(self, values: array[float], rows: int, scores: array[Any], /) -> None:
        """`values` are row-major, with NaN for a missing value."""


class ModelObserver(Protocol):
    """Provides the callbacks for a model."""

    def observe_model(self, card: Card, signature: Signature, outputs: Outputs) -> tuple[CallObserver, RowObserver]:
        """Observe a model from now on, in place of an earlier one of the same name and version."""
