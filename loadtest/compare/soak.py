"""The soak: millions of requests to one process, with samples of its resident memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.compare.load import Load, run
from loadtest.compare.model import Trained
from loadtest.compare.servers import Ready

_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Soak:
    """Samples of (requests answered, bytes resident); `slope` is in bytes per request over the second half."""

    requests: int
    errors: int
    seconds: float
    slope: float
    samples: tuple[tuple[int, int], ...]


def soak(ready: Ready, trained: Trained, requests: int, report: Callable[[str], None]) -> Soak:
    with ready.start(trained) as process:
        samples = [(0, process.resident())]

        def sample(done: int) -> None:
            samples.append((done, process.resident()))
            if len(samples) % 20 == 0:
                report(f"soak: {done:,} of {requests:,} requests, {samples[-1][1] / 1e6:.1f} MB")

        figures = run(Load(process.port, trained.requests.one, _CONNECTIONS, count=requests), sample)
        sample(figures.requests)
    return Soak(figures.requests, figures.errors, figures.seconds, slope(samples), tuple(samples))


def slope(samples: Sequence[tuple[int, int]]) -> float:
    """Return the slope of the least-squares line over the second half, in bytes per request; 0 for one sample."""
    half = [(done, size) for done, size in samples if 2 * done >= samples[-1][0]]
    if not half:
        return 0.0
    mean_done = sum(done for done, _ in half) / len(half)
    mean_size = sum(size for _, size in half) / len(half)
    spread = sum((done - mean_done) ** 2 for done, _ in half)
    return sum((done - mean_done) * (size - mean_size) for done, size in half) / spread if spread else 0.0
