"""The registry of the models that a function serves, by name and version, and their loading and unloading."""

from __future__ import annotations

import asyncio
import math
import re
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.errors import InvalidInput, InvalidModel, NotAllowed, NotReady, UnknownModel
from functions.runtime.inference.served import PendingRows, PredictionLimits, ServedModel

if TYPE_CHECKING:
    from functions.runtime.inference.observers import ModelObserver


class ModelEntry:
    """One version of a model in the registry: it holds the served model, or the reason why it is unloaded."""

    def __init__(
        self, loaded: Loaded, limits: PredictionLimits, observer: ModelObserver, load: Callable[[], Loaded], pending: PendingRows
    ) -> None:
        """`load` loads the model again. Raises InvalidModel for a model that cannot predict."""
        self.name = loaded.card.name
        self.version = loaded.card.version
        self.card = loaded.card
        self.outputs = loaded.outputs
        self.nulls = loaded.encoder.nulls
        self.reason = ""
        self._limits = limits
        self._observer = observer
        self._load = load
        self._pending = pending
        # Loads and unloads run one after the other: the last one decides.
        self._changing = asyncio.Lock()
        self._model: ServedModel | None = self._serve(loaded, _warm_up(loaded))

    @property
    def ready(self) -> bool:
        return self._model is not None

    @property
    def max_rows(self) -> int:
        """The limit of a request's rows."""
        return self._limits.request_rows

    @property
    def model(self) -> ServedModel:
        """The served model. Raises NotReady while it is unloaded."""
        if self._model is None:
            raise NotReady(f"the model {self.name} is not loaded: {self.reason}.")
        return self._model

    def _serve(self, loaded: Loaded, warm_up_seconds: float) -> ServedModel:
        """Serve the model, which replaces the former one in the metrics."""
        observe_call, observe_rows = self._observer.observe_model(loaded.card, loaded.model.signature, loaded.outputs)
        return ServedModel(loaded, self._limits, observe_call, observe_rows, self._pending, warm_up_seconds)

    def check_ready(self) -> None:
        """Raise NotReady while the model is unloaded."""
        _ = self.model

    async def load(self) -> None:
        """Load the artifact again, while a model that is loaded goes on serving. Raises InvalidModel."""
        async with self._changing:
            loaded, warm_up_seconds = await asyncio.to_thread(self._load_again)
            self.outputs = loaded.outputs
            self._model = self._serve(loaded, warm_up_seconds)
            self.reason = ""

    async def unload(self) -> None:
        async with self._changing:
            self._model = None
            self.reason = "it was unloaded; load it again"

    def _load_again(self) -> tuple[Loaded, float]:
        loaded = self._load()
        if repr(loaded.card) != repr(self.card):  # as strings, since NaN in an evaluation is unequal to itself
            raise InvalidModel(f"the card of the model {self.name} has changed", remedy="restart the function to serve it")
        return loaded, _warm_up(loaded)


class DataPlane:
    """All models that one function serves, independent of the transport."""

    def __init__(
        self,
        models: Sequence[tuple[Loaded, Callable[[], Loaded]]],
        observer: ModelObserver,
        limits: PredictionLimits | None = None,
        *,
        control: bool = False,
    ) -> None:
        """Each model has a function that loads it again. With `control`, callers may load and unload models.

        Raises InvalidModel for a model that cannot predict.
        """
        self.control = control
        self._pending = PendingRows()
        self._entries: dict[str, dict[str | None, ModelEntry]] = {loaded.card.name: {} for loaded, _ in models}
        for loaded, load in sorted(models, key=lambda model: _natural(model[0].card.version or ""), reverse=True):
            entry = ModelEntry(loaded, limits or PredictionLimits(), observer, load, self._pending)
            self._entries[entry.name][entry.version] = entry

    @property
    def entries(self) -> list[ModelEntry]:
        """All versions of all models; of each model the newest first."""
        return [entry for versions in self._entries.values() for entry in versions.values()]

    @property
    def waiting_rows(self) -> int:
        """The number of rows that wait for a prediction or are being predicted."""
        return self._pending.rows

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the newest last."""
        return [version for version in reversed(self._entries[name]) if version]

    def entry(self, name: str, version: str | None = None) -> ModelEntry:
        """Find a version of a model, by default the newest. Raises UnknownModel."""
        try:
            return next(iter(self._entries[name].values())) if version is None else self._entries[name][version]
        except KeyError:
            raise self._unknown(name, version) from None

    def only(self) -> ModelEntry:
        """Find the model of a request that names none. Raises UnknownModel if there are several."""
        if len(self._entries) > 1:
            raise UnknownModel(
                f"the request names no model, and this function serves {', '.join(self._entries)}", remedy="name one of them"
            )
        return self.entry(next(iter(self._entries)))

    def controlled(self, name: str) -> list[ModelEntry]:
        """Find all versions of a model that a caller wants to load or unload.

        Raises UnknownModel, and NotAllowed without `control`.
        """
        if not self.control:
            raise NotAllowed("loading and unloading models is not allowed", remedy="enable model control")
        self.entry(name)
        return list(self._entries[name].values())

    def _unknown(self, name: str, version: str | None) -> UnknownModel:
        if name not in self._entries:
            return UnknownModel(f"model {name!r} not found; this function serves {', '.join(self._entries)}.")
        served = ", ".join(self.versions(name)) or "no version"
        return UnknownModel(f"version {version!r} of the model {name} not found; this function serves {served}.")


def _natural(version: str) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers by their value, so that v10 is newer than v9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)]


def _warm_up(loaded: Loaded) -> float:
    """Predict one row and return the seconds that it took.

    The first request then does not pay for first use, and a model that cannot predict never becomes ready. Raises
    InvalidModel.
    """
    encoder, card = loaded.encoder, loaded.card
    signature = loaded.model.signature
    values = array(signature.typecode, [math.nan] * encoder.width)
    if card.example is not None:
        try:
            values = encoder.record(card.example)
        except InvalidInput as error:
            raise InvalidModel(f"the example of the model {card.name} is not a valid row: {error}") from None
        except KeyError as error:
            raise InvalidModel(f"the transform {card.transform} returns no feature {error}; the model {card.name} needs it.") from None
    began = perf_counter()
    found = loaded.model.predict(values, 1)
    took = perf_counter() - began
    if len(found.values) != math.prod(found.shape) or found.shape != signature.kinds["value"] or not found.values:
        raise InvalidModel(
            f"the model {card.name} predicts {len(found.values)} values for a row;"
            f" its signature has the shape {list(signature.kinds['value'])}."
        )
    for output in loaded.outputs.default:
        if output.kind == "value":
            output.tensor(found, 1)
    return took
