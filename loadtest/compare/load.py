"""A load and its figures, and the process of the load generator."""

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
    """The load generator ended without figures."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load on one port of this machine: `requests` are sent in turn over `connections`, which are kept alive.

    Without a `rate` the loop is closed: each connection sends its next request after the response. With one it is open:
    requests are due by a Poisson process of that rate per second. It lasts `seconds` after an unmeasured `warmup` in
    seconds, or, with a `count`, that number of requests.
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
    """Figures of the requests that began within the measured time: `requests` answered with 200, and `errors`.

    Latencies are exact, in milliseconds from the time a request was due. `late_p99` is the load generator's share of
    them in an open loop: the delay with which it started a request. `busy` is the share of a core that the load
    generator used.
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
    """Run the load generator; `progress` gets the number of responses twice a second. Raises LoadFailed."""
    # In a new session, so that Ctrl-C reaches the comparison only, which then ends its processes.
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
    raise LoadFailed(f"the load on port {load.port} ended without figures", remedy="see the reason above")
