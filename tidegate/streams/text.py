"""Streams as a table, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from tidegate.eventing_tables import table_of
from tidegate.streams.forecast import duration, shown_lag, shown_rate
from tidegate.streams.observing import Observed


def table(observed: Sequence[Observed]) -> Table:
    """Return a row for each stream."""
    found = table_of("stream", "group", "input", "output", "workers", "in/s", "out/s", "lag", "lag in time", "forecast")
    for one in observed:
        stream, forecast = one.stream, one.forecast
        workers = "-" if stream.workers is None else str(stream.workers)
        name = "" if stream.name == stream.group else stream.name
        sentence = forecast.sentence if one.sample.partitions else f"no topic {stream.input}"
        rates = shown_rate(forecast.rate_in), shown_rate(forecast.rate_out)
        lag = f"{forecast.records:,}", shown_lag(forecast)
        found.add_row(name or "-", stream.group, stream.input, stream.output or "-", workers, *rates, *lag, sentence)
    return found


def partitions_table(observed: Sequence[Observed]) -> Table:
    """Return a row for each partition."""
    found = table_of("topic", "partition", "position", "end", "lag", "lag in time")
    for one in observed:
        for number, partition in sorted(one.sample.partitions.items()):
            seconds = "unknown" if partition.seconds is None else duration(partition.seconds)
            offsets = (f"{offset:,}" for offset in (partition.position, partition.end, partition.records))
            found.add_row(one.stream.input, str(number), *offsets, seconds)
    return found
