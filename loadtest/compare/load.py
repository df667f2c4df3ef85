"""A load and what came of it, and the process of the load generator that lies between."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import IO, cast

import orjson

from common.errors import TidegateError


class LoadFailed(TidegateError):
    """The load generator could not do what it was told."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent to one port of this machine, over `connections` that are kept alive; `requests` are sent in turn.

    Without a `rate` the loop is closed: each connection sends again as soon as it is answered. With one it is open: requests are due by a
    Poisson process of so many a second. It lasts `seconds` after `warmup` seconds that do not count, or, with a `count`, so many requests.
    """

    port: int
    requests: tuple[bytes, ...]
    connections: int
    seconds: float = 4.0
    warmup: float = 0.5
    rate: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the requests that began within the measured time: `requests` answered with 200, `errors` that were not.

    Latencies are in milliseconds, exact, counted from when a request was due. `late_p99` is the load generator's own share of those of an
    open loop: how much later than due it took a request up. `busy` is the share of a core that the load generator used.
    """

    requests: int
    errors: int
    seconds: float
    rate: float
    p50: float
    p99: float
    most: float
    late_p99: float = 0.0
    busy: float = 0.0


def encode(load: Load) -> bytes:
    return orjson.dumps(asdict(load) | {"requests": [base64.b64encode(item).decode() for item in load.requests]})


def decode(document: bytes) -> Load:
    fields = orjson.loads(document)
    return Load(**fields | {"requests": tuple(base64.b64decode(item) for item in fields["requests"])})


def run(load: Load, progress: Callable[[int], None] = lambda done: None) -> Figures:
    """`progress` is told how many requests were answered, twice a second. Raises LoadFailed."""
    # In a session of its own: Ctrl-C is for the comparison, which then ends what it has started.
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.compare.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as into:
                into.write(encode(load))
            for line in cast("IO[bytes]", process.stdout):
                message = orjson.loads(line)
                if "done" not in message:
                    return Figures(**message)
                progress(message["done"])
        finally:
            process.kill()
    raise LoadFailed(f"the load on port {load.port} ended without figures; its reason is above.")
