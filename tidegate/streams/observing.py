"""The observation of streams: samples at an interval, and the forecast after each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate.streams.forecast import Forecast, forecast
from tidegate.streams.reading import SampleReader
from tidegate.streams.samples import Sample, Stream

SAMPLE_SECONDS = 0.5
# What a forecast of a watch looks back on.
_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A stream with its last sample, and the forecast from all samples of `seconds`."""

    stream: Stream
    sample: Sample
    forecast: Forecast
    seconds: float


class Observer:
    """Keeps the samples of the last minute of each stream."""

    def __init__(self, reader: SampleReader, streams: Sequence[Stream]) -> None:
        self._reader = reader
        self._samples: dict[Stream, deque[Sample]] = {stream: deque() for stream in streams}

    def observe(self, seconds: float) -> list[Observed]:
        """Take samples for so long, and return what they say together with earlier ones. Raises KafkaError."""
        until = time.monotonic() + seconds
        self._take()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(SAMPLE_SECONDS, left))
            self._take()
        return [self._observed(stream, samples) for stream, samples in self._samples.items()]

    def watch(self, seconds: float) -> Iterator[list[Observed]]:
        """Observe again and again."""
        while True:
            yield self.observe(seconds)

    def _take(self) -> None:
        for stream, samples in self._samples.items():
            samples.append(self._reader.read(stream))
            while samples[-1].at - samples[0].at > _WINDOW_SECONDS:
                samples.popleft()

    @staticmethod
    def _observed(stream: Stream, samples: Sequence[Sample]) -> Observed:
        return Observed(stream, samples[-1], forecast(list(samples)), samples[-1].at - samples[0].at)
