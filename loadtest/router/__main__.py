"""`python -m loadtest.router`: a function called directly and through the router, in turn, on this machine.

Latencies are differences between two closed loops of the same round. The processor time of the router's process hardly
depends on what else the machine does, so it is shown for everything. Exit status: 0, or 1 if something does not answer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

import orjson

from common.errors import TidegateError
from loadtest.compare import load
from loadtest.compare.load import Figures, Load
from loadtest.compare.processes import Process, cpu_seconds, free_port, running
from loadtest.compare.wire import request
from loadtest.router.platform import platform, service

# A model behind the function; and behind the server that only answers, one with one arm, and one with two.
_FUNCTION, _ONE, _TWO = "flights", "one", "two"
_EVENTS = 256
_BATCH = "Content-Type: application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Setup:
    """The function, and a router in front of it and of a server that only answers."""

    function: Process
    router: Process

    def cpu(self) -> float:
        """Return the seconds of processor time that the router has used."""
        return cpu_seconds(self.router.pid)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.router", description="Measure what the router adds to a call.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each load (default: %(default)g)")
    parser.add_argument("--requests", type=int, default=100_000, help="requests over which memory is sampled (default: %(default)s)")
    parser.add_argument(
        "--model", type=Path, default=Path("functions/flights/models/v1"), help="folder with model.yaml (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder, running_all(options.model, Path(folder) / "log") as setup:
            for row in _report(setup, options.rounds, options.seconds, options.requests):
                print(row, flush=True)
    except (TidegateError, OSError) as error:
        print(f"router: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def running_all(model: Path, log: Path) -> Iterator[Setup]:
    """Start everything, with the router on a core of its own where there are two."""
    infer = request(_path(_FUNCTION), _row())
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        function = stack.enter_context(
            running(
                [sys.executable, "-m", "functions.flights"], {"TIDEGATE_MODEL": str(model), "PORT": str(ports[0])}, ports[0], infer, log
            )
        )
        stack.enter_context(running([sys.executable, "-m", "loadtest.router.upstream", str(ports[1])], {}, ports[1], infer, log))
        services = [
            service(_FUNCTION, ports[0], {"v1": 100}),
            service(_ONE, ports[1], {"v1": 100}),
            service(_TWO, ports[1], {"v1": 50, "v2": 50}),
        ]
        api = stack.enter_context(platform(services))
        environ = {"PORT": str(ports[2]), "TIDEGATE_HOST": "127.0.0.1", "TIDEGATE_KUBERNETES_API": api.url}
        router = stack.enter_context(running([sys.executable, "-m", "functions.router"], environ, ports[2], infer, log))
        stack.enter_context(_pinned(router.pid))
        yield Setup(function, router)


def _report(setup: Setup, rounds: int, seconds: float, requests: int) -> Iterator[str]:
    yield f"process start to first response through the router: {setup.router.started_ms:.0f} ms"
    infer, port = request(_path(_FUNCTION), _row()), setup.router.port
    for connections in (1, 8):
        added, direct, routed, cpu = [], [], [], []
        for _ in range(rounds):
            alone = _run(Load(setup.function.port, (infer,), connections, seconds))
            began = setup.cpu()
            through = _run(Load(port, (infer,), connections, seconds, warmup=0.0))
            cpu.append(1e6 * (setup.cpu() - began) / through.requests)
            added.append(through.p50 - alone.p50)
            direct.append(alone)
            routed.append(through)
        yield (
            f"{connections} connections: p50 {median(item.p50 for item in direct):.2f} ms directly, "
            f"{median(item.p50 for item in routed):.2f} ms through the router, {median(added):.2f} ms more (median of {rounds} rounds); "
            f"{median(item.rate for item in direct):,.0f} and {median(item.rate for item in routed):,.0f} requests/s; "
            f"router {median(cpu):.0f} us of processor time a request"
        )
    fast = request(_path(_ONE), _row())
    yield _alone("router alone, 8 connections to a server that only answers", setup, [fast], rounds, seconds, 1, "requests")
    yield _alone(f"batches of {_EVENTS} events to one arm", setup, [_batch(_ONE)], rounds, seconds, _EVENTS, "events")
    yield _alone(f"batches of {_EVENTS} events to two arms", setup, [_batch(_TWO)], rounds, seconds, _EVENTS, "events")
    before = setup.router.resident()
    _run(Load(port, (fast,), 8, count=requests))
    after = setup.router.resident()
    yield f"memory: {before / 2**20:.1f} MiB, and {after / 2**20:.1f} MiB after {requests:,} requests"


def _alone(title: str, setup: Setup, requests: Sequence[bytes], rounds: int, seconds: float, items: int, what: str) -> str:
    rates, cpu = [], []
    for _ in range(rounds):
        began = setup.cpu()
        found = _run(Load(setup.router.port, tuple(requests), 8 if items == 1 else 2, seconds, warmup=0.0))
        cpu.append(1e6 * (setup.cpu() - began) / (found.requests * items))
        rates.append(found.rate * items)
    return f"{title}: {median(rates):,.0f} {what}/s; router {median(cpu):.1f} us of processor time each"


def _run(wanted: Load) -> Figures:
    figures = load.run(wanted)
    if figures.errors or not figures.requests:
        raise load.LoadFailed(f"{figures.errors} of {figures.requests + figures.errors} requests failed.")
    return figures


@contextmanager
def _pinned(pid: int) -> Iterator[None]:
    """Give a process one core, and this one, with the load generators that it starts, the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, cores[:1])
        os.sched_setaffinity(0, cores[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _path(model: str) -> str:
    return f"/v2/models/{model}/infer"


def _row() -> bytes:
    return files("loadtest").joinpath("scenarios/flights.json").read_bytes()


def _batch(model: str) -> bytes:
    data = {tensor["name"]: tensor["data"][0] for tensor in orjson.loads(_row())["inputs"]}
    event = {"specversion": "1.0", "source": "/loadtest", "type": "departed", "data": data}
    events = [{**event, "id": str(number), "partitionkey": f"k{number}"} for number in range(_EVENTS)]
    return request(f"/models/{model}", orjson.dumps(events), _BATCH)


if __name__ == "__main__":
    sys.exit(main())
