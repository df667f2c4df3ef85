"""The scored rows with their outcomes, as compact arrays: 17 bytes a row, and 4 for each slice and for the clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.groups import Codes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows with known outcomes. `slices` are the codes of each column's values, `clusters` blocks that go together."""

    outcomes: NDArray[np.bool_]
    first: Floats
    second: Floats
    slices: Mapping[str, Codes]
    clusters: Codes | None = None

    def __len__(self) -> int:
        return len(self.outcomes)

    def where(self, chosen: NDArray[np.bool_]) -> Sample:
        """Return the rows that are chosen."""
        clusters = None if self.clusters is None else self.clusters[chosen]
        slices = {name: codes[chosen] for name, codes in self.slices.items()}
        return Sample(self.outcomes[chosen], self.first[chosen], self.second[chosen], slices, clusters)


class SampleBuilder:
    """Collects a sample in pieces."""

    def __init__(self) -> None:
        self._pieces: list[Sample] = []

    def add(self, piece: Sample) -> None:
        """Append some rows."""
        self._pieces.append(piece)

    def build(self) -> Sample:
        """Return all rows. There must be a piece."""
        pieces, self._pieces = self._pieces, []
        first = pieces[0]
        return Sample(
            np.concatenate([piece.outcomes for piece in pieces]),
            np.concatenate([piece.first for piece in pieces]),
            np.concatenate([piece.second for piece in pieces]),
            {name: np.concatenate([piece.slices[name] for piece in pieces]) for name in first.slices},
            None if first.clusters is None else np.concatenate([piece.clusters for piece in pieces if piece.clusters is not None]),
        )
