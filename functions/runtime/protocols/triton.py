"""The model configuration and statistics extensions of V2, as Triton's clients request them.

Source: https://github.com/triton-inference-server/server/tree/main/docs/protocol, extension_model_configuration.md and
extension_statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from functions.runtime.contract.card import Card
from functions.runtime.contract.outputs import Outputs
from functions.runtime.observability.histogram import Histogram
from functions.runtime.observability.metrics import Metrics, Requests

_TYPES = {"BYTES": "TYPE_STRING"}


def config(card: Card, outputs: Outputs, max_rows: int) -> dict[str, Any]:
    """Return a model's configuration.

    `dims` are those of one row: the first axis of every tensor is the number of rows.
    """
    return {
        "name": card.name,
        "platform": f"tidegate_{card.runtime}",
        "backend": card.runtime,
        "max_batch_size": max_rows,
        "input": [{"name": item.name, "data_type": _type(item.datatype), "dims": [1], "optional": item.optional} for item in card.inputs],
        "output": [{"name": item.name, "data_type": _type(item.datatype), "dims": list(item.shape) or [1]} for item in outputs.all],
    }


def statistics(models: Iterable[tuple[str, str | None]], metrics: Metrics) -> dict[str, Any]:
    """Return the statistics of models, by name and version, since the function started; times are in nanoseconds.

    `inference_count` are rows, `execution_count` calls of the library. `queue` is the time that the first request of
    each call has waited for it; it is a part of the requests' `compute_infer`. There is no cache.
    """
    return {"model_stats": [_of_model(name, version or "", metrics) for name, version in models]}


def _of_model(name: str, version: str, metrics: Metrics) -> dict[str, Any]:
    requests = [(key, found) for key, found in list(metrics.requests.items()) if key[:2] == (name, version)]
    done = [found for key, found in requests if key[3] < 400]
    failed = [found for key, found in requests if key[3] >= 400]
    calls = [found for key, found in list(metrics.calls.items()) if key[:2] == (name, version)]
    return {
        "name": name,
        "version": version,
        "inference_count": sum(found.rows for found in done),
        "execution_count": sum(sum(found.took.counts) for found in calls),
        "inference_stats": {
            "success": _durations(done),
            "fail": _durations(failed),
            "queue": _total([found.queue for found in calls]),
            "compute_input": _total([found.preprocess for found in done]),
            "compute_infer": _total([found.predict for found in done]),
            "compute_output": _total([found.postprocess for found in done]),
            "cache_hit": _total([]),
            "cache_miss": _total([]),
        },
        "batch_stats": [],
    }


def _durations(requests: Sequence[Requests]) -> dict[str, int]:
    return _total([found.duration for found in requests])


def _total(histograms: Sequence[Histogram]) -> dict[str, int]:
    return {"count": sum(sum(found.counts) for found in histograms), "ns": round(1e9 * sum(found.sum for found in histograms))}


def _type(datatype: str) -> str:
    return _TYPES.get(datatype, f"TYPE_{datatype}")
