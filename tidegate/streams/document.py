"""Streams as a document, for programs. Its fields are kept."""

from __future__ import annotations

from typing import Any

from tidegate.streams.forecast import Forecast
from tidegate.streams.samples import Sample, Stream


def document(stream: Stream, sample: Sample, found: Forecast, observed_seconds: float) -> dict[str, Any]:
    """Return what is known of a stream. Rates are events per second; null is unknown."""
    return {
        "name": stream.name,
        "group": stream.group,
        "input": stream.input,
        "output": stream.output or None,
        "workers": stream.workers,
        "rate_in": _rounded(found.rate_in),
        "rate_out": _rounded(found.rate_out),
        "lag_records": found.records,
        "lag_seconds": _rounded(found.seconds),
        "lag_seconds_change": _rounded(found.seconds_change),
        "state": found.state.value,
        "caught_up_in_seconds": _rounded(found.caught_up_in),
        "forecast": found.sentence,
        "observed_seconds": _rounded(observed_seconds),
        "partitions": [
            {
                "partition": number,
                "position": partition.position,
                "end": partition.end,
                "lag_records": partition.records,
                "lag_seconds": _rounded(partition.seconds),
            }
            for number, partition in sorted(sample.partitions.items())
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
