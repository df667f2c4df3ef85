"""The metrics in Prometheus' formats. Imported in a thread at the first scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from functions.runtime.observability.histogram import Histogram
from functions.runtime.observability.metrics import Metrics, Reading

_Labelled = Iterable[tuple[tuple[str, ...], Histogram]]
_MODEL = ("model", "version")


def render(metrics: Metrics, accept: str = "") -> tuple[bytes, str]:
    """Render the metrics as OpenMetrics or Prometheus' text, by the Accept header; returns body and content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_AllMetrics(metrics)), content_type


class _AllMetrics(Collector):
    """The function's metrics and the default registry.

    The registry has metrics of the process, the garbage collector, and a user's transforms and runtimes.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from _requests(self._metrics)
        yield from _calls(self._metrics)
        yield from _models(self._metrics)
        yield from _drift(self._metrics)
        yield from _readings(self._metrics.readings)
        yield from REGISTRY.collect()


def _requests(metrics: Metrics) -> Iterator[Metric]:
    found = list(metrics.requests.items())
    by_protocol = (*_MODEL, "protocol")
    total = CounterMetricFamily("tidegate_requests", "Requests by HTTP status.", labels=(*by_protocol, "code"))
    errors = CounterMetricFamily("tidegate_request_errors", "Requests that failed, by reason.", labels=(*by_protocol, "reason"))
    rows = CounterMetricFamily("tidegate_request_rows", "Rows of the requests.", labels=by_protocol)
    for labels, count in _summed(((*key[:3], str(key[3])), sum(item.duration.counts)) for key, item in found):
        total.add_metric(labels, count)
    for labels, count in _summed(((*key[:3], key[4]), sum(item.duration.counts)) for key, item in found if key[4]):
        errors.add_metric(labels, count)
    for labels, count in _summed((key[:3], item.rows) for key, item in found):
        rows.add_metric(labels, count)
    yield from (total, errors, rows)
    yield _histogram(
        "tidegate_request_duration_seconds",
        "From the request's arrival to its response.",
        by_protocol,
        ((key[:3], item.duration) for key, item in found),
    )
    for step, description in (
        ("preprocess", "From the request's arrival to its rows, under KServe's name."),
        ("predict", "From the rows to the prediction, including the wait, under KServe's name."),
        ("postprocess", "From the prediction to the response, under KServe's name."),
    ):
        steps = (((key[0],), getattr(item, step)) for key, item in found if key[0])
        yield _histogram(f"request_{step}_seconds", description, ("model_name",), steps)


def _calls(metrics: Metrics) -> Iterator[Metric]:
    found = [(key[:3], item) for key, item in list(metrics.calls.items())]
    labels = (*_MODEL, "kind")
    for name, description, attribute in (
        ("tidegate_batch_rows", "Rows that were predicted by one call of the library.", "rows"),
        ("tidegate_batch_requests", "Requests that were predicted by one call of the library.", "requests"),
        ("tidegate_queue_seconds", "The time that the first request of a call had waited for it.", "queue"),
        ("tidegate_predict_seconds", "The duration of a call of the library.", "took"),
    ):
        yield _histogram(name, description, labels, ((key, getattr(item, attribute)) for key, item in found))


def _models(metrics: Metrics) -> Iterator[Metric]:
    info = InfoMetricFamily("tidegate_model", "The served models.", labels=_MODEL)
    for model in list(metrics.models.values()):
        info.add_metric(model.key, model.info)
    yield info
    phases = GaugeMetricFamily("tidegate_cold_start_seconds", "The duration of this process' start, by phase.", labels=("phase",))
    for phase, seconds in list(metrics.phases.items()):
        phases.add_metric((phase,), seconds)
    yield phases


def _drift(metrics: Metrics) -> Iterator[Metric]:
    labels = (*_MODEL, "feature")
    missing = CounterMetricFamily("tidegate_feature_missing", "Sampled rows without this feature.", labels=labels)
    rows = CounterMetricFamily("tidegate_feature_rows", "Sampled rows.", labels=labels)
    scores: list[tuple[tuple[str, ...], Histogram]] = []
    for model in list(metrics.models.values()):
        key = model.key
        samples = list(model.samples.values())
        sampled = sum(sample.rows for sample in samples)
        for index, feature in enumerate(model.features):
            missing.add_metric((*key, feature), sum(sample.missing[index] for sample in samples))
            rows.add_metric((*key, feature), sampled)
        scores += [((*key, name), sample.scores[index]) for sample in samples for index, name in enumerate(model.scores)]
    yield from (missing, rows)
    yield _histogram("tidegate_score", "Predicted values of the sampled rows.", (*_MODEL, "output"), scores)


def _readings(readings: list[Reading]) -> Iterator[Metric]:
    for reading in readings:
        kind = CounterMetricFamily if reading.name.endswith("_total") else GaugeMetricFamily
        yield kind(reading.name, reading.description, value=reading.read())


def _histogram(name: str, description: str, labels: tuple[str, ...], items: _Labelled) -> HistogramMetricFamily:
    """Make a metric family; histograms of the same labels, from several threads or statuses, are added up."""
    family = HistogramMetricFamily(name, description, labels=labels)
    grouped: dict[tuple[str, ...], list[Histogram]] = {}
    for key, histogram in items:
        grouped.setdefault(key, []).append(histogram)
    for key, histograms in grouped.items():
        counts = [sum(column) for column in zip(*(list(item.counts) for item in histograms), strict=True)]
        bounds = [*(str(float(bound)) for bound in histograms[0].bounds), "+Inf"]
        family.add_metric(key, list(zip(bounds, accumulate(counts), strict=True)), sum(item.sum for item in histograms))
    return family


def _summed(items: Iterable[tuple[tuple[str, ...], int]]) -> Iterable[tuple[tuple[str, ...], int]]:
    total: dict[tuple[str, ...], int] = {}
    for key, count in items:
        total[key] = total.get(key, 0) + count
    return total.items()
