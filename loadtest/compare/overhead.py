"""The overhead of the function over a library call, with another runtime than XGBoost.

    added = p50 of a request of one row, by one connection - median of the library call

Both are measured in each round, in separate processes. The request includes the loopback and the load generator, so
that the function's share is at most that; the report also has the p50 of the same bytes to a no-op server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from common.errors import TidegateError
from loadtest.compare.load import Load, run
from loadtest.compare.model import Trained
from loadtest.compare.processes import Process, ServerFailed, free_port, running
from loadtest.compare.servers import Ready, check


@contextmanager
def noop(trained: Trained, log: Path) -> Iterator[Process]:
    """Run the no-op server."""
    port = free_port()
    with running([sys.executable, "-m", "loadtest.compare.noop", str(port)], {}, port, trained.requests.one[0], log) as process:
        yield process


def overhead(
    ready: Ready, trained: Trained, rounds: int, seconds: float, report: Callable[[str], None]
) -> tuple[list[Mapping[str, float]], str | None]:
    """Return milliseconds by name, one entry for each round, and the reason if there are fewer."""
    measured: list[Mapping[str, float]] = []
    log = ready.log.with_name("lightgbm.log")
    try:
        with replace(ready, log=log).start(trained) as function, noop(trained, log.with_name("noop.log")) as nothing:
            check(function, trained)
            for number in range(rounds):
                measured.append(found := _round(function, nothing, trained, seconds))
                report(f"round {number + 1}/{rounds}  LightGBM: {found['added']:.3f} ms added to its own {found['library']:.3f} ms")
    except TidegateError as error:
        return measured, str(error)
    return measured, None


def _round(function: Process, nothing: Process, trained: Trained, seconds: float) -> Mapping[str, float]:
    request, trip = (run(Load(process.port, trained.requests.one, 1, seconds)) for process in (function, nothing))
    library = _library_call(trained.artifact)
    return {
        "errors": request.errors,
        "request": request.p50,
        "round_trip": trip.p50,
        "library": library,
        "added": request.p50 - library,
    }


def _library_call(artifact: Path) -> float:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "loadtest.compare.library_call", str(artifact)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ServerFailed(f"the call of LightGBM failed: {lines[-1] if lines else 'no output'}")
    # LightGBM itself may write to standard output.
    return float(done.stdout.split()[-1])
