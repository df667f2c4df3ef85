"""The data plane: rows in, outputs out, whatever transport they came by. It knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import Outputs, OutputTensor, ServedOutput
from functions.runtime.contract.signature import Kind, Prediction
from functions.runtime.errors import InvalidInput, InvalidModel, NotAllowed, NotReady, Overloaded, TooLarge, UnknownModel
from functions.runtime.inference.batching import Gatherer, Watch
from functions.runtime.inference.cores import cores
from functions.runtime.inference.limits import MAX_ROWS, MAX_WAITING_ROWS
from functions.runtime.inference.scheduler import Turns
from functions.runtime.observability.metrics import Metrics

Observe = Callable[["array[float]", int, "array[Any]"], None]

# Below this a hop to another thread costs more than it frees; above it the event loop would stall for milliseconds.
OFF_LOOP_ROWS = 64
# Nothing else is answered during a call on the event loop; the kubelet asks for a liveness that comes within a second.
_SLOW_SECONDS = 0.25
# Labels of this many rows take a millisecond or more: they are converted in another thread.
_CONVERTED_ASIDE_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """What one function takes at a time."""

    # One XGBoost call of 4,096 rows takes about 13 ms: longer ones would delay the small calls beside them.
    gathered_rows: int = 4_096
    # A larger request is better sent in parts, so that replicas can share it.
    request_rows: int = MAX_ROWS
    # Numbers in one answer: explanations of 100,000 rows of 30 features, or the leaves of 20,000 rows in 200 trees; some 60 MB of JSON.
    answer_values: int = 4_000_000
    # About a second of work at 3 us a row; what waits longer is better told to come again.
    waiting_rows: int = MAX_WAITING_ROWS
    # Large predictions at once; each takes a core.
    cores: int = field(default_factory=cores)


@dataclass(slots=True)
class Waiting:
    """Rows that wait for a prediction, or are in one, of all models that share it."""

    rows: int = 0

    def hold(self, rows: int) -> None:
        """Rows of a caller who has gone, or has waited long enough, count until the library is done with them; less than 0 when it is."""
        self.rows += rows


@dataclass(slots=True)
class _Pace:
    """Whether a call for few rows would hold up the event loop, which then makes none: each such call shows it for the next."""

    slow: bool

    def watched(self, watch: Watch) -> Watch:
        def watched(kind: Kind, rows: int, requests: int, waited: float, took: float) -> None:
            if rows < OFF_LOOP_ROWS:
                self.slow = took > _SLOW_SECONDS
            watch(kind, rows, requests, waited, took)

        return watched


class ServedModel:
    """One model, loaded, behind every transport. Who has it may ask it; its threads end when nobody has it any more."""

    def __init__(
        self,
        loaded: Loaded,
        limits: Limits,
        watch: Watch,
        observe: Observe,
        waiting: Waiting | None = None,
        warm_up_seconds: float = 0.0,
    ) -> None:
        """`observe` is told of the rows and values of each request, for drift; `warm_up_seconds` is what a call for one row took."""
        self.card: Card = loaded.card
        self.encoder: Encoder = loaded.encoder
        self.outputs: Outputs = loaded.outputs
        self._limits = limits
        self._observe = observe
        self._waiting = waiting or Waiting()
        self._pace = _Pace(warm_up_seconds > _SLOW_SECONDS)
        watched = self._pace.watched(watch)
        self._gatherer = Gatherer(loaded.model, watched, max_rows=limits.gathered_rows)
        self._turns = Turns(loaded.model, watched, limits.cores, self._waiting.hold)

    async def infer(self, rows: Rows, outputs: Sequence[ServedOutput], deadline: float = math.inf) -> list[OutputTensor]:
        """The outputs, in their order. `deadline` is of the monotonic clock. Raises InvalidInput, TooLarge, Overloaded and TimedOut."""
        self._admit(rows, outputs)
        self._waiting.rows += rows.count
        try:
            predictions: dict[Kind, Prediction] = {}
            for output in outputs:
                if output.kind not in predictions:
                    predictions[output.kind] = await self._predict(rows, output.kind, deadline)
            if "value" in predictions:
                self._observe(rows.values, rows.count, predictions["value"].values)
            if rows.count < _CONVERTED_ASIDE_ROWS:
                return _tensors(outputs, predictions, rows.count)
            return await asyncio.to_thread(_tensors, outputs, predictions, rows.count)
        finally:
            self._waiting.rows -= rows.count

    def _predict(self, rows: Rows, kind: Kind, deadline: float) -> asyncio.Future[Prediction]:
        if rows.count < OFF_LOOP_ROWS and kind != "contributions" and not self._pace.slow:
            return self._gatherer.predict(rows, kind)
        return self._turns.predict(rows, kind, deadline)

    @property
    def max_values(self) -> int:
        """Of a request: its rows times the model's inputs."""
        return self._limits.request_rows * len(self.encoder.names)

    @property
    def rows_at_once(self) -> int:
        """What one caller may have waiting in several requests."""
        return min(self._limits.request_rows, self._limits.waiting_rows)

    def check_rows(self, count: int) -> None:
        """Raises TooLarge. To be asked before rows are made of what was sent: they may take a hundred times its memory."""
        if count > self._limits.request_rows:
            raise TooLarge(f"the request has {count} rows; at most {self._limits.request_rows} fit into one: send several.")

    def _admit(self, rows: Rows, outputs: Sequence[ServedOutput]) -> None:
        if rows.count == 0:
            raise InvalidInput("the request has no rows; send at least one.")
        self.check_rows(rows.count)
        values = rows.count * sum([output.width for output in outputs])
        if values > self._limits.answer_values:
            raise TooLarge(
                f"the answer would have {values} values; at most {self._limits.answer_values} fit:"
                " send fewer rows, or ask for fewer outputs."
            )
        waiting = self._waiting.rows
        if waiting + rows.count > self._limits.waiting_rows and waiting:
            raise Overloaded(f"{waiting} rows are waiting for a prediction; send this request again a little later.")


class Slot:
    """A place for one model by its name and version: it holds the model, or why there is none."""

    def __init__(self, loaded: Loaded, limits: Limits, metrics: Metrics, load: Callable[[], Loaded], waiting: Waiting) -> None:
        """Raises InvalidModel for a model that cannot predict."""
        self.name = loaded.card.name
        self.version = loaded.card.version
        self.card = loaded.card
        self.outputs = loaded.outputs
        self.nulls = loaded.encoder.nulls
        self.reason = ""
        self._limits = limits
        self._metrics = metrics
        self._load = load
        self._waiting = waiting
        # Loads and unloads take turns: who asks last decides.
        self._changing = asyncio.Lock()
        self._model: ServedModel | None = self._serve(loaded, _warm_up(loaded))

    @property
    def ready(self) -> bool:
        return self._model is not None

    @property
    def max_rows(self) -> int:
        """Of a request."""
        return self._limits.request_rows

    @property
    def model(self) -> ServedModel:
        """Raises NotReady while it is unloaded."""
        if self._model is None:
            raise NotReady(f"the model {self.name} is not loaded: {self.reason}.")
        return self._model

    def _serve(self, loaded: Loaded, warm_up_seconds: float) -> ServedModel:
        """In the place of another: the metrics are this one's from now on."""
        watched = self._metrics.model(loaded.card, loaded.model.signature, loaded.outputs)
        watch = partial(self._metrics.predicted, self.name, self.version or "")
        return ServedModel(loaded, self._limits, watch, partial(self._metrics.observed, watched), self._waiting, warm_up_seconds)

    def check_ready(self) -> None:
        """Raises NotReady."""
        _ = self.model

    async def load(self) -> None:
        """Load the same artifact again; whatever was loaded goes on serving until then. Raises InvalidModel."""
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
        if repr(loaded.card) != repr(self.card):  # not the cards: NaN, such as in an evaluation, equals nothing
            raise InvalidModel(f"the card of the model {self.name} has changed; start the function again to serve it.")
        return loaded, _warm_up(loaded)


class DataPlane:
    """All models that one function serves."""

    def __init__(
        self,
        models: Sequence[tuple[Loaded, Callable[[], Loaded]]],
        metrics: Metrics,
        limits: Limits | None = None,
        *,
        control: bool = False,
    ) -> None:
        """Each model comes with what loads it again. With `control`, callers may unload and load them."""
        self.metrics = metrics
        self.control = control
        self._waiting = Waiting()
        self._slots: dict[str, dict[str | None, Slot]] = {loaded.card.name: {} for loaded, _ in models}
        for loaded, load in sorted(models, key=lambda model: _natural(model[0].card.version or ""), reverse=True):
            slot = Slot(loaded, limits or Limits(), metrics, load, self._waiting)
            self._slots[slot.name][slot.version] = slot

    @property
    def slots(self) -> list[Slot]:
        """Of each model the newest version first."""
        return [slot for versions in self._slots.values() for slot in versions.values()]

    @property
    def waiting_rows(self) -> int:
        return self._waiting.rows

    @property
    def names(self) -> list[str]:
        return list(self._slots)

    def versions(self, name: str) -> list[str]:
        """Those of one model, the newest last."""
        return [version for version in reversed(self._slots[name]) if version]

    def slot(self, name: str, version: str | None = None) -> Slot:
        """One version of a model, the newest if none is named. Raises UnknownModel."""
        try:
            return next(iter(self._slots[name].values())) if version is None else self._slots[name][version]
        except KeyError:
            raise self._unknown(name, version) from None

    def only(self) -> Slot:
        """The model that is meant when a request names none. Raises UnknownModel when there are several."""
        if len(self._slots) > 1:
            raise UnknownModel(f"this function serves {', '.join(self._slots)}; send the event to /models/ and one of these names.")
        return self.slot(next(iter(self._slots)))

    def controlled(self, name: str) -> list[Slot]:
        """All versions of a model that a caller wants to load or unload. Raises NotAllowed unless that is switched on."""
        if not self.control:
            raise NotAllowed("models cannot be loaded or unloaded here; set TIDEGATE_MODEL_CONTROL=true for the function to allow it.")
        self.slot(name)
        return list(self._slots[name].values())

    def _unknown(self, name: str, version: str | None) -> UnknownModel:
        if name not in self._slots:
            return UnknownModel(f"there is no model {name!r} here; this function serves {', '.join(self._slots)}.")
        served = ", ".join(self.versions(name)) or "no version"
        return UnknownModel(f"the model {name} has no version {version!r} here; this function serves {served}.")


def _tensors(outputs: Sequence[ServedOutput], predictions: Mapping[Kind, Prediction], count: int) -> list[OutputTensor]:
    return [output.tensor(predictions[output.kind], count) for output in outputs]


def _natural(version: str) -> list[tuple[int, str]]:
    """Numbers by their value, so that v10 is newer than v9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)]


def _warm_up(loaded: Loaded) -> float:
    """Predict once before anybody asks, so that nobody pays for first use and a model that cannot predict never gets ready.

    Returns the seconds that it took.
    """
    encoder, card = loaded.encoder, loaded.card
    signature = loaded.model.signature
    values = array(signature.typecode, [math.nan] * encoder.width)
    if card.example is not None:
        try:
            values = encoder.record(card.example)
        except InvalidInput as error:
            raise InvalidModel(f"the example of the model {card.name} is no valid row: {error}") from None
        except KeyError as error:
            raise InvalidModel(f"the transform {card.transform} makes no feature {error}; the model {card.name} needs it.") from None
    began = perf_counter()
    found = loaded.model.predict(values, 1)
    took = perf_counter() - began
    if len(found.values) != math.prod(found.shape) or found.shape != signature.kinds["value"] or not found.values:
        raise InvalidModel(
            f"the model {card.name} predicts {len(found.values)} values for a row;"
            f" its signature says the shape {list(signature.kinds['value'])}."
        )
    for output in loaded.outputs.default:
        if output.kind == "value":
            output.tensor(found, 1)
    return took
