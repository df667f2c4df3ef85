"""The metrics that are recorded while requests are served: plain numbers, without costly imports and locks.

`predicted` and `observed` are called by the event loop and by worker threads. Each thread has its own numbers, which a
reader adds up, so that no increment is lost and no counter decreases.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from threading import get_ident
from typing import Any

from functions.runtime.contract.card import Card
from functions.runtime.contract.outputs import Outputs
from functions.runtime.contract.signature import Kind, Signature
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.histogram import LATENCIES, Histogram
from functions.runtime.observability.process import age_seconds

# Seconds: a step of a request is a part of its latency.
STEPS = (0.00005, 0.0001, 0.00025, *LATENCIES)
# Rows and requests of one call of the library.
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 16_384, 65_536)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))
_DECADES = tuple(10.0**power for power in range(-3, 7))
LABELS = tuple(range(20))
DECADES = (*(-bound for bound in reversed(_DECADES)), 0.0, *_DECADES)
_SCORE_BOUNDS = {"probability": PROBABILITIES, "label": LABELS}
# Rows of a request that are sampled for drift, at 20 ns per value.
SAMPLED_ROWS = 64
# With more, the scrape would be too large: all values of a row then share one histogram, and features are left out.
_MOST_SCORES = 20
_MOST_FEATURES = 500


class Requests:
    """The requests of one model, version, protocol, status and reason. Times are in seconds."""

    __slots__ = ("duration", "postprocess", "predict", "preprocess", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.duration = Histogram(LATENCIES)
        self.preprocess = Histogram(STEPS)
        self.predict = Histogram(STEPS)
        self.postprocess = Histogram(STEPS)


class Calls:
    """Calls of the library for one model, version and kind, by one thread."""

    __slots__ = ("queue", "requests", "rows", "took")

    def __init__(self) -> None:
        self.rows = Histogram(SIZES)
        self.requests = Histogram(SIZES)
        self.queue = Histogram(STEPS)
        self.took = Histogram(STEPS)


class Sample:
    """The sampled rows of one model in one thread."""

    __slots__ = ("missing", "rows", "scores")

    def __init__(self, width: int, scores: int, bounds: Sequence[float]) -> None:
        self.rows = 0
        self.missing = [0] * width
        self.scores = [Histogram(bounds) for _ in range(scores)]


class ModelMetrics:
    """The metrics of one model: its info, and its sampled rows by thread."""

    def __init__(self, card: Card, signature: Signature, outputs: Outputs, sha256: str) -> None:
        self.key = (card.name, card.version or "")
        self.info = {"runtime": card.runtime, "objective": signature.objective, "sha256": sha256}
        self.width = signature.width
        names = signature.features or card.columns
        self.features = names if len(names) <= _MOST_FEATURES else ()
        self.values_per_row = prod(signature.kinds["value"])
        self.scores = _score_names(signature, outputs, self.values_per_row)
        self.samples: dict[int, Sample] = {}
        self._bounds = _SCORE_BOUNDS.get(signature.meaning, DECADES)

    def begin(self) -> Sample:
        """Add the sample of this thread."""
        return self.samples.setdefault(get_ident(), Sample(self.width, len(self.scores), self._bounds))


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that is read at each scrape: a counter if its name ends in `_total`, otherwise a gauge."""

    name: str
    description: str
    read: Callable[[], float]


class Metrics:
    """The metrics of a function. It is an Observer of exchanges and of models."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, str, int, str], Requests] = {}
        self.calls: dict[tuple[str, str, str, int], Calls] = {}
        self.models: dict[tuple[str, str], ModelMetrics] = {}
        self.phases: dict[str, float] = {}
        self.readings: list[Reading] = []

    def model(self, card: Card, signature: Signature, outputs: Outputs, sha256: str = "") -> ModelMetrics:
        """Add a model that is served from now on, in place of another of the same name and version.

        `sha256` is the digest of its artifact, by default the card's.
        """
        found = ModelMetrics(card, signature, outputs, sha256 or card.artifact.sha256 or "")
        self.models[found.key] = found
        return found

    def observe_model(
        self, card: Card, signature: Signature, outputs: Outputs
    ) -> tuple[Callable[[Kind, int, int, float, float], None], Callable[[array[float], int, array[Any]], None]]:
        """Add a model and return the callbacks for its library calls and its rows."""
        model = self.model(card, signature, outputs)
        return partial(self.predicted, *model.key), partial(self.observed, model)

    def watch(self, reading: Reading) -> None:
        """Export a number, such as that of requests in flight."""
        self.readings.append(reading)

    def started(self, phase: str, seconds: float) -> None:
        """Record the duration of a phase of the cold start: `imports`, `load` or `listen`.

        `first_answer` is recorded with the first success.
        """
        self.phases[phase] = seconds

    def exchanged(self, exchange: Exchange) -> None:
        """Record a request. Only for the event loop."""
        key = (exchange.model, exchange.version, exchange.protocol, exchange.status, exchange.reason)
        requests = self.requests.get(key) or self._begin(key)
        requests.rows += exchange.rows
        took = exchange.took
        requests.duration.add(took * 1e-9)
        if decoded := exchange.decoded:
            requests.preprocess.add(decoded * 1e-9)
            if predicted := exchange.predicted:
                requests.predict.add((predicted - decoded) * 1e-9)
                requests.postprocess.add((took - predicted) * 1e-9)

    def predicted(self, model: str, version: str, kind: str, rows: int, requests: int, waited_seconds: float, took_seconds: float) -> None:
        """Record a call of the library: its rows and requests, and the wait of its first request. For any thread.

        `requests` is 0 for a call that continues a request of an earlier one; its wait is not recorded.
        """
        key = (model, version, kind, get_ident())
        calls = self.calls.get(key) or self.calls.setdefault(key, Calls())
        calls.rows.add(rows)
        calls.took.add(took_seconds)
        if requests:
            calls.requests.add(requests)
            calls.queue.add(waited_seconds)

    def observed(self, model: ModelMetrics, values: array[float], rows: int, scores: array[Any]) -> None:
        """Record rows (row-major, NaN for missing) and their predictions of the kind `value`. For any thread."""
        sample = model.samples.get(get_ident()) or model.begin()
        if rows > SAMPLED_ROWS:
            rows = SAMPLED_ROWS
            values = values[: rows * model.width]
            scores = scores[: rows * model.values_per_row]
        sample.rows += rows
        total = sum(values)
        # The sum is finite if no value is missing, which saves a check of each value.
        if total - total != 0.0:
            _count_missing(sample.missing, values)
        _count_scores(sample.scores, scores)

    def _begin(self, key: tuple[str, str, str, int, str]) -> Requests:
        """Add a kind of request; the first success of a model ends the cold start."""
        model, _, _, status, _ = key
        if model and status < 400 and "first_answer" not in self.phases and (age := age_seconds()) is not None:
            self.phases["first_answer"] = age
        return self.requests.setdefault(key, Requests())


def _count_missing(missing: list[int], values: array[float]) -> None:
    width = len(missing)
    for index, value in enumerate(values):
        if value != value:
            missing[index % width] += 1


def _count_scores(histograms: list[Histogram], scores: array[Any]) -> None:
    """Add scores to their histograms, except NaN and infinity, which would make the sum useless."""
    count = len(histograms)
    if count == 1:
        add = histograms[0].add
        for score in scores:
            if score - score == 0.0:
                add(score)
    elif count:
        for index, score in enumerate(scores):
            if score - score == 0.0:
                histograms[index % count].add(score)


def _score_names(signature: Signature, outputs: Outputs, values: int) -> tuple[str, ...]:
    """Return a name for each value of a row: the output's name, and for several values the class or the index."""
    served = next((item for item in outputs.all if item.kind == "value" and item.meaning in ("value", signature.meaning)), None)
    name = served.name if served else signature.meaning
    if values == 1 or values > _MOST_SCORES:
        return (name,)
    classes = served.classes if served else None
    return tuple(f"{name}.{item}" for item in (classes if classes and len(classes) == values else range(values)))
