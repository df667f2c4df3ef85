"""The data plane: rows in, scores out, whatever transport they came by. It knows nothing of HTTP."""

from __future__ import annotations

import math
import os
from array import array
from dataclasses import dataclass

from functions.runtime.artifact import Loaded
from functions.runtime.card import Card
from functions.runtime.encoding import Encoder, Rows
from functions.runtime.errors import InvalidInput, InvalidModel, TooLarge, UnknownModel
from functions.runtime.gathering import Gatherer


@dataclass(frozen=True, slots=True)
class Limits:
    """What one function takes at a time, in rows."""

    # One XGBoost call of 4,096 rows takes about 13 ms: longer ones would delay the small calls beside them.
    gathered_rows: int = 4_096
    # A larger request is better sent in parts, so that replicas can share it.
    request_rows: int = 100_000
    # About a second of work at 3 us a row; what waits longer is better told to come again.
    waiting_rows: int = 300_000


@dataclass(frozen=True, slots=True)
class Scores:
    """`width` float32 values a row for `count` rows, row-major."""

    values: array[float]
    count: int
    width: int

    def row(self, index: int) -> list[float]:
        return self.values[index * self.width : (index + 1) * self.width].tolist()


class DataPlane:
    """One model behind every transport."""

    def __init__(self, loaded: Loaded, limits: Limits | None = None) -> None:
        self.card: Card = loaded.card
        self.encoder: Encoder = loaded.encoder
        self.limits = limits or Limits()
        self.width = _warm_up(loaded)
        self._gatherer = Gatherer(
            loaded.model,
            lambda: loaded.again(os.cpu_count() or 1),
            max_rows=self.limits.gathered_rows,
            max_waiting_rows=self.limits.waiting_rows,
        )

    def check_model(self, name: str, version: str | None = None) -> None:
        """Raises UnknownModel unless this is the model, and the version, that is served here."""
        if name != self.card.name:
            raise UnknownModel(f"there is no model {name!r} here; this function serves {self.card.name}.")
        if version is not None and version != self.card.version:
            raise UnknownModel(
                f"the model {name} has no version {version!r} here; this function serves {self.card.version or 'no version'}."
            )

    async def infer(self, rows: Rows) -> Scores:
        if rows.count == 0:
            raise InvalidInput("the request has no rows; send at least one.")
        if rows.count > self.limits.request_rows:
            raise TooLarge(f"the request has {rows.count} rows; at most {self.limits.request_rows} fit into one: send several.")
        return Scores(await self._gatherer.predict(rows), rows.count, self.width)

    def close(self) -> None:
        self._gatherer.close()


def _warm_up(loaded: Loaded) -> int:
    """Predict once before anybody asks, so that nobody pays for first use and a model that cannot predict never gets ready."""
    encoder, card = loaded.encoder, loaded.card
    values = array("f", [math.nan] * encoder.width)
    if card.example is not None:
        try:
            values = array("f", encoder.record(card.example))
        except InvalidInput as error:
            raise InvalidModel(f"the example of the model {card.name} is no valid row: {error}") from None
        except KeyError as error:
            raise InvalidModel(f"the transform {card.transform} makes no feature {error}; the model {card.name} needs it.") from None
    width = len(loaded.model.predict(values, 1))
    if width == 0:
        raise InvalidModel(f"the model {card.name} predicts nothing for a row; train it again.")
    return width
